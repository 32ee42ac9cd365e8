import { describe, expect, test } from 'vitest';
import { id, type JobId, millis } from '../../src/base/ids.ts';
import { type AssistDeps, assistingPass, assistProblem } from '../../src/pass/assist.ts';
import type { PinnedGate, RunnerRecord } from '../../src/ports/runners.ts';
import type { JobLife, PassRecord } from '../../src/ports/passes.ts';

type Facts = Parameters<typeof assistProblem>[0];

const pins: readonly (PinnedGate | null)[] = [
  null,
  { verdict: 'withhold', reasons: [], at: millis(0) },
  { verdict: 'expose', reasons: [], at: millis(0) },
];
const everything: readonly Facts[] = (['none', 'fetch', 'expose'] as const).flatMap((assist) =>
  (['none', 'fetch', 'full'] as const).flatMap((trust) =>
    pins.flatMap((pinned) =>
      [null, 'key'].flatMap((publicKey) => [true, false].map((unsafeAccepted) => ({ assist, trust, pinned, publicKey, unsafeAccepted }))),
    ),
  ),
);

const now = millis(1_000_000);
const pass: PassRecord = {
  id: id(5),
  kind: 'fetch',
  digest: 'd' as never,
  jobId: id(1),
  pipelineId: id(1),
  projectId: id(1),
  sha: 'a'.repeat(40),
  parentId: null,
  principals: [],
  ownProjectOnly: false,
  chainDepth: 0,
  issuedAt: now,
  expiresAt: millis(now + 1000),
  revokedAt: null,
  revokedReason: null,
};
const running: JobLife = { state: 'running', cancelingSince: null, contactAt: now };

/** A job whose runner is assisted, with changes. */
function deps(change: { runner?: Partial<RunnerRecord>; pass?: Partial<PassRecord>; life?: JobLife } = {}): AssistDeps {
  const found = { ...pass, ...change.pass };
  const runner = {
    assist: 'fetch',
    trust: 'fetch',
    pinned: pins[2],
    publicKey: null,
    unsafeAccepted: false,
    ...change.runner,
  } as RunnerRecord;
  return {
    passes: { forJob: () => Promise.resolve([found]), byId: () => Promise.resolve(found) } as unknown as AssistDeps['passes'],
    liveness: { jobLife: () => Promise.resolve(change.life ?? running) },
    assist: { assisting: () => Promise.resolve(runner) },
  };
}
const ask = (from: AssistDeps, door = 'git', secure = true) => assistingPass(from, id<JobId>(1), door, secure, now, null);

describe('assist', () => {
  test('R7 of all that a runner may be set to, assist is for what the gate or an admin let through, and expose for a pinned expose', () => {
    for (const facts of everything) {
      const { assist, trust, pinned, publicKey, unsafeAccepted } = facts;
      const judged = pinned?.verdict === 'expose' || unsafeAccepted;
      const exposes = assist !== 'expose' || (trust === 'full' && pinned?.verdict === 'expose');
      const may = assist === 'none' || (publicKey === null && trust !== 'none' && judged && exposes);
      expect([facts, assistProblem(facts) === undefined]).toEqual([facts, may]);
    }
  });

  test('R8 at the doors where a runner fetches, and at no other', async () => {
    for (const door of ['git', 'lfs', 'registry']) expect(await ask(deps(), door)).toMatchObject({ id: pass.id });
    for (const door of ['api', 'runner', 'oauth', 'jobs', '']) expect(await ask(deps(), door)).toBeUndefined();
  });

  test('R16 not over a transport that a pass may not travel', async () => {
    expect(await ask(deps(), 'git', false)).toBeUndefined();
  });

  test('R2 R9 a living fetch pass of the job itself, and nothing else', async () => {
    expect(await ask(deps({ pass: { revokedAt: now } }))).toBeUndefined();
    expect(await ask(deps({ pass: { kind: 'full' } }))).toBeUndefined();
    expect(await ask(deps({ pass: { parentId: id(4) } }))).toBeUndefined();
    expect(await ask(deps({ pass: { expiresAt: now } }))).toBeUndefined();
    expect(await ask(deps({ life: { ...running, state: 'ended' } }))).toBeUndefined();
    expect(await ask(deps({ life: { ...running, contactAt: millis(now - 200_000) } }))).toBeUndefined();
    expect(await ask({ passes: deps().passes, liveness: deps().liveness })).toBeUndefined();
  });
});
