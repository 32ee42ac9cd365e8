import { describe, expect, test } from 'vitest';
import { executors } from '../../../src/runner/gate/executors.ts';
import { judge } from '../../../src/runner/gate/judge.ts';
import { type Kind, ofKind, type Row, unset } from '../../../src/runner/gate/row.ts';
import { entryRows } from '../../../src/runner/gate/rows/entry.ts';
import { globalRows } from '../../../src/runner/gate/rows/global.ts';
import { put, safeConfig, type SafeExecutor, safeConfigs } from './configs.ts';

/** Which executor brings the section of an entry into use. */
const uses: Readonly<Record<string, SafeExecutor>> = {
  machine: 'docker+machine',
  autoscaler: 'docker-autoscaler',
  instance: 'instance',
  kubernetes: 'kubernetes',
  virtualbox: 'virtualbox',
  parallels: 'parallels',
  ssh: 'virtualbox',
};

interface Stands {
  readonly row: Row;
  readonly executor: SafeExecutor;
  readonly path: readonly string[];
  /** In a list of tables that is unsafe itself: only the list is looked at. */
  readonly inside: boolean;
}

/** Every row of every section, nested ones too. */
function walk(rows: readonly Row[], path: readonly string[], executor: SafeExecutor, inside = false): Stands[] {
  return rows.flatMap((row) => {
    const here = [...path, row.key];
    const used = here.length === 2 && here[0] === 'runners' ? (uses[row.key] ?? executor) : executor;
    const nested = row.section === undefined ? [] : walk(row.section.rows, here, used, inside || row.safe !== undefined);
    return [{ row, executor: used, path: here, inside }, ...nested];
  });
}
const all = [...walk(globalRows, [], 'docker'), ...walk(entryRows, ['runners'], 'docker')];

const wrong: Readonly<Record<Kind, unknown>> = {
  text: 7,
  texts: 'x',
  words: 7,
  number: 'x',
  numbers: 'x',
  flag: 'true',
  duration: true,
  time: 7,
  map: 'x',
  table: 'x',
  tables: {},
};
/** Of each kind, something that some rule may refuse. */
const candidates: Readonly<Record<Kind, readonly unknown[]>> = {
  text: ['odd', 'kube-system', 'http://x'],
  texts: [['odd:/x'], ['.*']],
  words: ['if-not-present'],
  number: [7, 0],
  numbers: [[7]],
  flag: [true, false],
  duration: ['5m'],
  time: ['2026-01-01T00:00:00Z'],
  map: [{ 'odd/key': '$X' }],
  table: [{ odd: 1 }],
  tables: [[{}]],
};
const unsafeKeys = (raw: unknown): string[] =>
  judge({ raw }, 'gitlab-runner')
    .findings.filter(({ safe }) => !safe)
    .map(({ key }) => key.replaceAll(/\[\d+\]/g, ''));

/** The lists on the way are there, with one table in each. */
function configFor({ executor, path }: Stands, value: unknown): Record<string, unknown> {
  const config = safeConfig(executor);
  let rows: readonly Row[] = globalRows;
  path.slice(0, -1).forEach((part, index) => {
    const row = rows.find(({ key }) => key === part);
    if (row?.kind === 'tables' && part !== 'runners') put(config, path.slice(0, index + 1), [{}]);
    rows = part === 'runners' ? entryRows : (row?.section?.rows ?? []);
  });
  return put(config, path, value);
}

describe('what the gate knows', () => {
  test.each(Object.keys(safeConfigs))('R7 the smallest configuration of %s exposes', (executor) => {
    expect(unsafeKeys(safeConfig(executor as SafeExecutor))).toEqual([]);
  });

  test('R13 each key of each section, alone with a value of another type, withholds', () => {
    for (const stands of all.filter(({ inside, row }) => !inside && row.key !== 'runners'))
      expect([stands.path, unsafeKeys(configFor(stands, wrong[stands.row.kind]))]).toEqual([
        stands.path,
        expect.arrayContaining([stands.path.join('.')]),
      ]);
  });

  const rules = all.filter(({ row, inside }) => row.safe !== undefined && !inside);
  test.each(rules.map((stands) => [stands.path.join('.'), stands] as const))(
    'R7 %s alone withholds, and says what to do',
    (name, stands) => {
      const { row, executor } = stands;
      const value = candidates[row.kind].find((one) => ofKind[row.kind](one) && row.safe?.holds(one) === false);
      expect(value).toBeDefined();
      expect(row.reason).not.toBe('');
      expect(row.remedy).not.toBe('');
      // What opens the machine is no matter where the machine is the job's alone.
      expect(unsafeKeys(configFor(stands, value))).toEqual(row.machine && executors[executor]?.boundary === 'machine' ? [] : [name]);
    },
  );

  test("R7 what opens the machine is no matter where the machine is the job's alone, and only there", () => {
    const rows = all.filter(({ row, path, inside }) => row.machine && path[1] === 'docker' && !inside);
    expect(rows.length).toBeGreaterThan(20);
    for (const { row, path } of rows) {
      const value = candidates[row.kind].find((one) => row.safe?.holds(one) === false);
      for (const executor of ['docker+machine', 'docker-autoscaler'] as const)
        expect([path, unsafeKeys(put(safeConfig(executor), path, value))]).toEqual([path, []]);
    }
  });

  const needs = Object.entries(executors).flatMap(([executor, { needs: list }]) => list.map((need) => [executor, need] as const));
  test.each(needs.map(([executor, need]) => [executor, need.path.join('.'), need] as const))(
    'R7 %s without %s withholds',
    (executor, name, need) => {
      const config = put(safeConfig(executor as SafeExecutor), ['runners', ...need.path], undefined);
      const entry: Record<string, Record<string, unknown>> = (config['runners'] as never)[0];
      delete entry[need.path[0]]?.[need.path[1]];
      expect(unsafeKeys(config)).toEqual([`runners.${name}`]);
    },
  );

  test('each key stands in its section once', () => {
    const twice = (rows: readonly Row[], exact: boolean): string[] => {
      const keys = rows.map(({ key }) => (exact ? key : key.toLowerCase()));
      const nested = rows.flatMap(({ section }) => (section === undefined ? [] : twice(section.rows, section.exact)));
      return [...keys.filter((key, index) => keys.indexOf(key) !== index), ...nested];
    };
    expect([...twice(globalRows, false), ...twice(entryRows, false)]).toEqual([]);
  });

  test('an empty value is what it is without the key, for all that must not be set', () => {
    expect([undefined, '', false, 0, [], {}].every(unset.holds)).toBe(true);
    expect(['x', true, 1, ['x'], { x: 1 }, null].some(unset.holds)).toBe(false);
  });
});
