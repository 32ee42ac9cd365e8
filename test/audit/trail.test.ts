import { beforeEach, expect, test, vi } from 'vitest';
import { type AuditEntry, AuditTrail } from '../../src/audit/trail.ts';
import { id, type PassId } from '../../src/base/ids.ts';
import { MemoryWorld } from '../support/memory-ports.ts';

let world: MemoryWorld;
let lost: unknown[];
let trail: AuditTrail;
beforeEach(() => {
  world = new MemoryWorld();
  lost = [];
  trail = new AuditTrail(world.audit, world.clock, (error) => lost.push(error));
});

const entry = (change: Partial<AuditEntry> = {}): AuditEntry => ({
  decision: 'deny',
  subject: 'pass',
  passId: id<PassId>(1),
  passKind: 'full',
  jobId: null,
  pipelineId: null,
  jobProjectId: null,
  principals: [],
  accesses: ['code:push@project:7'],
  door: 'git',
  endpoint: 'POST /x',
  rule: 'R1',
  reason: 'no',
  requestId: 'r1',
  ...change,
});

test('R10 A65 refusals that differ in nothing but the request are one counted row', async () => {
  for (const requestId of ['r1', 'r2', 'r3']) trail.refuse(entry({ requestId }));
  for (const change of [{ passId: id<PassId>(2) }, { rule: 'R3' }, { accesses: ['code:push@project:8'] }, { endpoint: 'GET /y' }])
    trail.refuse(entry(change));
  expect(world.rows).toHaveLength(0);
  await trail.flush();
  expect(world.rows.map(({ count }) => count)).toEqual([3, 1, 1, 1, 1]);
  trail.refuse(entry());
  await trail.flush();
  expect(world.rows).toHaveLength(6);
});

test('R10 a refusal is written by itself within the second', async () => {
  vi.useFakeTimers();
  try {
    trail.refuse(entry());
    await vi.advanceTimersByTimeAsync(1000);
    expect(world.rows).toHaveLength(1);
  } finally {
    vi.useRealTimers();
  }
});

test('A54 an allow that cannot be written is an error of the trail; a lost refusal is told', async () => {
  world.auditFails = true;
  await expect(trail.allow(entry({ decision: 'allow' }))).rejects.toMatchObject({ code: 'audit_unavailable' });
  trail.refuse(entry());
  await trail.flush();
  expect(lost).toHaveLength(1);
});
