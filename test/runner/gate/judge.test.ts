import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { executors } from '../../../src/runner/gate/executors.ts';
import { judge } from '../../../src/runner/gate/judge.ts';
import { formatFindings } from '../../../src/runner/gate/report.ts';
import type { Row } from '../../../src/runner/gate/row.ts';
import { entryRows } from '../../../src/runner/gate/rows/entry.ts';
import { globalRows } from '../../../src/runner/gate/rows/global.ts';
import { put, safeConfig, type SafeExecutor, safeConfigs } from './configs.ts';

const verdict = (raw: unknown): string => judge({ raw }, 'gitlab-runner').verdict;
const unsafeKeys = (raw: unknown): string[] =>
  judge({ raw }, 'gitlab-runner')
    .findings.filter(({ safe }) => !safe)
    .map(({ key }) => key);
const docker = (key: string, value: unknown): unknown => put(safeConfig('docker'), ['runners', 'docker', key], value);

describe('the gate', () => {
  test.each(['shell', 'ssh', 'custom', 'docker-ssh', 'docker-ssh+machine', 'Docker', 'unheard-of', '__proto__', 'constructor', ''])(
    'R7 A36 the executor "%s" withholds',
    (executor) => {
      expect(unsafeKeys(put(safeConfig('docker'), ['runners', 'executor'], executor))).toContain('runners[0].executor');
    },
  );

  test.each([
    ['privileged', true],
    ['services_privileged', true],
    ['allowed_privileged_images', []],
    ['volumes', ['/var/run/docker.sock:/var/run/docker.sock']],
    ['volumes', ['/srv:/srv:ro']],
    ['volumes', ['named:/data']],
    ['volumes', ['/cache', '/$FROM_A_JOB']],
    ['volumes', ['relative']],
    ['volumes', 'text'],
    ['network_mode', 'host'],
    ['network_mode', 'bridge'],
    ['network_mode', 'container:other'],
    ['userns_mode', 'host'],
    ['pull_policy', 'if-not-present'],
    ['pull_policy', ['always', 'if-not-present']],
    ['allowed_pull_policies', ['always', 'never']],
    ['host', 'tcp://10.0.0.1:2375'],
    ['host', 'ssh://root@10.0.0.1'],
    ['container_labels', { job: '$CI_JOB_TOKEN' }],
    ['services', [{ name: 'docker:dind' }]],
    ['a_key_of_tomorrow', false],
  ])('R7 docker with %s = %o withholds, and says which key', (key, value) => {
    expect(unsafeKeys(docker(key, value))).toEqual([`runners[0].docker.${key}`]);
  });

  test.each([
    ['privileged', false],
    ['volumes', ['/cache', '/certs/client']],
    ['network_mode', 'none'],
    ['pull_policy', ['always']],
    ['host', 'unix:///run/podman/podman.sock'],
    ['allowed_images', []],
    ['services', []],
    ['container_labels', { team: 'build' }],
    ['shm_size', 0],
  ])('R7 docker with %s = %o exposes', (key, value) => {
    expect(unsafeKeys(docker(key, value))).toEqual([]);
  });

  test('A63 the worst entry of the host decides for all', () => {
    for (const executor of Object.keys(safeConfigs)) {
      const mixed = { runners: [safeConfig('docker'), safeConfig(executor as SafeExecutor)].flatMap(({ runners }) => runners) };
      expect(verdict(mixed)).toBe('expose');
      const withShell = { runners: [...mixed.runners, { name: 'other', executor: 'shell' }] };
      expect([verdict(withShell), unsafeKeys(withShell)]).toEqual(['withhold', ['runners[2].executor']]);
    }
  });

  test('A63 a daemon on another address is no exception: an address does not tell who else is there', () => {
    expect(unsafeKeys(docker('host', 'tcp://10.0.0.1:2376'))).toEqual(['runners[0].docker.host']);
  });

  test('R13 keys are matched as gitlab-runner matches them, whatever their case', () => {
    expect(judge({ raw: docker('Privileged', true) }, 'gitlab-runner').findings).toContainEqual(
      expect.objectContaining({ key: 'runners[0].docker.Privileged', reason: 'a privileged container is the machine' }),
    );
    expect(unsafeKeys(docker('Privileged', false))).toEqual([]);
    expect(unsafeKeys(put(docker('privileged', false) as never, ['runners', 'docker', 'PRIVILEGED'], false))).toEqual([
      'runners[0].docker.PRIVILEGED',
    ]);
    expect(verdict({ Runners: [{ Executor: 'shell' }] })).toBe('withhold');
    expect(unsafeKeys({ runners: safeConfig('docker')['runners'], Runners: [] })).toEqual(['Runners']);
    // U+212A folds to k, in Go as here: the key is known, and judged.
    expect(unsafeKeys(docker('networ\u212a_mode', 'host'))).toEqual(['runners[0].docker.networ\u212a_mode']);
  });

  test('R13 a feature flag counts only as it is written: gitlab-runner keeps them in a map', () => {
    const flags = (table: object) => unsafeKeys(put(safeConfig('docker'), ['runners', 'feature_flags'], table));
    expect(flags({ ff_network_per_build: true })).toEqual(['runners[0].feature_flags.ff_network_per_build']);
    expect(flags({ FF_NETWORK_PER_BUILD: 'true' })).toEqual(['runners[0].feature_flags.FF_NETWORK_PER_BUILD']);
  });

  test('R7 A29 A53 jobpass runner makes a network and volumes for each job, gitlab-runner only when the file says so', () => {
    const raw = { runners: [{ executor: 'docker', docker: { image: 'alpine' } }] };
    expect(judge({ raw }, 'jobpass').verdict).toBe('expose');
    expect(unsafeKeys(raw)).toEqual(['runners[0].feature_flags.FF_NETWORK_PER_BUILD', 'runners[0].docker.disable_cache']);
  });

  test.each([
    undefined,
    null,
    'text',
    [],
    {},
    { runners: [] },
    { runners: 'x' },
    { runners: {} },
    { runners: ['x'] },
    { runners: [[]] },
    { runners: [{}] },
    { runners: [{ executor: 'docker' }] },
    { runners: [{ executor: 'docker', docker: [] }] },
    { runners: [{ executor: ['docker'], docker: {} }] },
  ])('R13 what cannot be read withholds: %o', (raw) => {
    expect(verdict(raw)).toBe('withhold');
    expect(judge({ raw }).verdict).toBe('withhold');
  });

  test('R6 findings hold keys and reasons, never a value, nor what a terminal obeys', () => {
    const raw = put(docker('privileged', true) as never, ['runners', 'executor'], 'glpat-hidden');
    put(raw, ['runners', 'name'], 'box\u001b[31m glrt-abcdefgh');
    put(raw, ['runners', 'mystery'], 'glpat-hidden');
    put(raw, ['runners', `glrt-${'x'.repeat(20)}`], 1);
    const judgement = judge({ raw });
    for (const text of [formatFindings(judgement), formatFindings(judgement, true), JSON.stringify(judgement)]) {
      expect(text).toContain('mystery');
      expect(text).not.toMatch(/glrt-secret|hidden|abcdefgh|xxxx|\\u001b/);
    }
    expect(formatFindings(judgement)).not.toContain('\u001b');
    expect(formatFindings(judgement)).toContain('verdict: withhold');
  });

  test('findings for people: the unsafe ones first, each with what to do', () => {
    const lines = formatFindings(judge({ raw: docker('privileged', true) }, 'gitlab-runner')).split('\n');
    expect(lines[0]).toMatch(/^ {2}unsafe {2}runners\[0\]\.docker\.privileged \(box\) +a privileged container is the machine$/);
    expect(lines[1]).toMatch(/^ +-> Set it to false/);
    expect(lines[2]).toMatch(/^ {2}ok {6}runners\[0\]\.executor/);
  });
});

const keysOf = (rows: readonly Row[]): string[] =>
  rows.flatMap(({ key, section }) => [key, ...(section === undefined ? [] : keysOf(section.rows))]);
const known = [...new Set([...keysOf(globalRows), ...keysOf(entryRows)])];
const anyCase = (keys: readonly string[]) =>
  fc
    .tuple(fc.constantFrom(...keys), fc.constantFrom(0, 0, 0, 1, 2))
    .map(([key, turn]) => (turn === 0 ? key : turn === 1 ? key.toUpperCase() : `${key}x`));
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.boolean(),
    fc.integer(),
    fc.constantFrom('always', 'docker', '', 'host', 'jpt_xhidden', '/cache', 'true'),
    fc.string(),
    fc.constant(new Date(0)),
    fc.array(tie('any'), { maxLength: 3 }),
    tie('table'),
  ),
  table: fc.dictionary(fc.oneof(anyCase(known), fc.string()), tie('any'), { maxKeys: 5 }),
}));
/** Safe to begin with, then changed here and there: what lies near the border. */
const changed = fc
  .tuple(
    fc.constantFrom(...Object.keys(safeConfigs)),
    fc.array(
      fc.tuple(
        fc.constantFrom(
          [],
          ['runners'],
          ['runners', 'docker'],
          ['runners', 'kubernetes'],
          ['runners', 'feature_flags'],
          ['runners', 'autoscaler'],
        ),
        anyCase(known),
        value.any,
      ),
      { maxLength: 3 },
    ),
  )
  .map(([executor, changes]) => {
    const config = safeConfig(executor as SafeExecutor);
    for (const [path, key, to] of changes) {
      try {
        put(config, [...path, key], to);
      } catch {
        // The place was changed into something else before.
      }
    }
    return config;
  });

describe('the gate, on anything', () => {
  test('R13 A36 it judges every table, and exposes only without an unsafe finding', () => {
    fc.assert(
      fc.property(fc.oneof(value.any, changed), fc.constantFrom('jobpass', 'gitlab-runner'), (raw, servedBy) => {
        const judgement = judge({ raw }, servedBy);
        expect(judgement.verdict).toBe(judgement.findings.some(({ safe }) => !safe) ? 'withhold' : 'expose');
        expect(judgement.findings.length).toBeGreaterThan(0);
        expect(formatFindings(judgement)).toContain(`verdict: ${judgement.verdict}`);
      }),
    );
  });

  test('R13 a file full of keys that nobody knows is judged, and printed', () => {
    const runners = Object.fromEntries(Array.from({ length: 200_000 }, (_, index) => [`k${index}`, index]));
    const judgement = judge({ raw: { runners: [runners] } });
    expect([judgement.verdict, judgement.findings.length]).toEqual(['withhold', 200_001]);
    expect(formatFindings(judgement).length).toBeGreaterThan(200_000);
  });

  test('A63 adding an entry never turns withhold into expose', () => {
    fc.assert(
      fc.property(changed, changed, (one, other) => {
        const both = { ...one, runners: [one['runners'], other['runners']].flat() };
        if (verdict(one) === 'withhold') expect(verdict(both)).toBe('withhold');
      }),
    );
  });

  // What is asked for by name is all that helps by being there.
  const asked = new Set(
    [
      'runners',
      'executor',
      ...Object.values(executors).flatMap(({ sections, needs }) => [...sections, ...needs.flatMap(({ path }) => path)]),
    ].map((key) => key.toLowerCase()),
  );
  test('R7 adding a key never turns withhold into expose, but for the keys that are asked for', () => {
    const place = fc.constantFrom([], ['runners'], ['runners', 'docker'], ['runners', 'kubernetes'], ['runners', 'docker', 'services']);
    fc.assert(
      fc.property(changed, place, anyCase(known), value.any, (config, path, key, to) => {
        fc.pre(!asked.has(key.toLowerCase()));
        const before = verdict(config);
        const table = structuredClone(config);
        let at: unknown = table;
        for (const part of path) {
          at = typeof at === 'object' && at !== null && Object.hasOwn(at, part) ? (at as Record<string, unknown>)[part] : undefined;
          if (Array.isArray(at)) at = at[0];
        }
        fc.pre(typeof at === 'object' && at !== null && !Array.isArray(at) && !Object.hasOwn(at, key));
        (at as Record<string, unknown>)[key] = to;
        if (before === 'withhold') expect(verdict(table)).toBe('withhold');
      }),
    );
  });
});
