import { redactTokens } from '../../base/log.ts';
import { isTable, type Table } from '../parsed.ts';
import { executors, type ExecutorRule, type ServedBy } from './executors.ts';
import { kindWords, ofKind, type Row, type Section } from './row.ts';
import { entryRows } from './rows/entry.ts';
import { globalRows } from './rows/global.ts';

export interface Finding {
  /** Name of the entry; empty for the file itself. */
  readonly runner: string;
  /** Path of the key, such as `runners[0].docker.privileged`. */
  readonly key: string;
  readonly reason: string;
  /** What to do about it, where it is unsafe. */
  readonly remedy?: string;
  readonly safe: boolean;
}

export interface Judgement {
  /** The worst entry decides for all: they share the host (R7, A63). */
  readonly verdict: 'withhold' | 'expose';
  readonly findings: readonly Finding[];
}

const file: Section = { rows: globalRows, exact: false };
const entry: Section = { rows: entryRows, exact: false };

/**
 * Judges a whole config.toml: may jobs see their pass? Pure and total; unknown is unsafe. Keys are matched as gitlab-runner does, upper and lower
 * case alike.
 *
 * One verdict for the file (A63): an address does not tell whether two daemons are one, and whoever takes the host of one entry takes the
 * runner, which holds the tokens and keys of all.
 * @param config.raw the parsed file; undefined = it could not be read
 */
export function judge(config: { readonly raw: unknown }, servedBy: ServedBy = 'jobpass'): Judgement {
  const { raw } = config;
  const findings = isTable(raw)
    ? judgeFile(raw, servedBy)
    : [unsafe({ path: '', runner: '' }, 'the configuration cannot be read', 'Name a config.toml that gitlab-runner can read.')];
  return { verdict: findings.every(({ safe }) => safe) ? 'expose' : 'withhold', findings };
}

/** Where in the file something stands. `machine`: the machine below is the job's alone. */
interface Place {
  readonly path: string;
  readonly runner: string;
  readonly machine?: boolean;
}

function unsafe({ path, runner }: Place, reason: string, remedy: string): Finding {
  return { runner, key: path, reason, remedy, safe: false };
}

const within = (place: Place, key: string): Place => ({ ...place, path: place.path === '' ? key : `${place.path}.${key}` });

function judgeFile(raw: Table, servedBy: ServedBy): Finding[] {
  const place = { path: '', runner: '' };
  const findings = judgeSection(raw, file, place);
  const runners = lookUp(raw, 'runners');
  if (!Array.isArray(runners) || runners.length === 0)
    return [...findings, unsafe(within(place, 'runners'), 'there is no runner in the configuration', 'Register a runner.')];
  return [...findings, ...runners.flatMap((one: unknown, index) => (isTable(one) ? judgeEntry(one, `runners[${index}]`, servedBy) : []))];
}

function judgeEntry(table: Table, path: string, servedBy: ServedBy): Finding[] {
  const name = lookUp(table, 'name');
  const word = lookUp(table, 'executor');
  const executor = typeof word === 'string' ? word : '';
  const rule = Object.hasOwn(executors, executor) ? executors[executor] : undefined;
  const place = { path, runner: typeof name === 'string' ? shown(name) : '', machine: rule?.boundary === 'machine' };
  const findings = judgeSection(table, entry, place);
  const at = within(place, 'executor');
  if (rule === undefined)
    return [unsafe(at, 'the executor is not known, so nothing can be said for it', 'Use an executor that gitlab-runner has.'), ...findings];
  // Only a name of our own table is printed, never what stands in the file.
  if (rule.boundary === null) return [unsafe(at, `${executor} executor: ${rule.reason}`, rule.remedy), ...findings];
  const kept: Finding = { runner: place.runner, key: at.path, reason: `${executor} executor: ${rule.reason}`, safe: true };
  return [kept, ...findings, ...judgeNeeds(table, rule, place, servedBy, findings)];
}

/** What has to stand there and does not. A key that was found unsafe already is not named twice. */
function judgeNeeds(table: Table, rule: ExecutorRule, place: Place, servedBy: ServedBy, known: readonly Finding[]): Finding[] {
  const missing = rule.sections
    .filter((name) => !isTable(lookUp(table, name)))
    .map((name) => unsafe(within(place, name), 'the section is missing', 'Add it.'));
  const wanted = rule.needs
    .filter((need) => need.servedBy === undefined || need.servedBy === servedBy)
    .filter(({ path: [section, key], must }) => {
      const found = lookUp(table, section);
      return !(isTable(found) && must.holds(lookUp(found, key, section === 'feature_flags')));
    })
    .map(({ path, reason, remedy }) => unsafe(within(place, path.join('.')), reason, remedy));
  const names = new Set(known.filter(({ safe }) => !safe).map(({ key }) => key.toLowerCase()));
  return [...missing, ...wanted].filter(({ key }) => !names.has(key.toLowerCase()));
}

function judgeSection(table: Table, section: Section, place: Place): Finding[] {
  const rows = new Map(section.rows.map((row) => [folded(row.key, section.exact), row]));
  const seen = new Set<string>();
  return Object.entries(table).flatMap(([key, value]) => {
    const name = folded(key, section.exact);
    const row = rows.get(name);
    const at = within(place, shown(key));
    if (row === undefined) return [unsafe(at, 'unknown key', 'Remove it, or ask for a jobpass that knows it.')];
    if (seen.has(name)) return [unsafe(at, 'the key is there twice, in other letters', 'Remove one of them.')];
    seen.add(name);
    return judgeValue(value, row, at);
  });
}

function judgeValue(value: unknown, row: Row, place: Place): Finding[] {
  if (!ofKind[row.kind](value)) return [unsafe(place, `is not ${kindWords[row.kind]}`, 'Correct it.')];
  if (row.safe !== undefined && !row.safe.holds(value) && !(row.machine && place.machine === true))
    return [unsafe(place, row.reason, row.remedy)];
  const { section } = row;
  if (section === undefined) return [];
  if (isTable(value)) return judgeSection(value, section, place);
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown, index) =>
    isTable(one) ? judgeSection(one, section, { ...place, path: `${place.path}[${index}]` }) : [],
  );
}

function folded(key: string, exact: boolean): string {
  return exact ? key : key.toLowerCase();
}

/** The value that gitlab-runner would read. Where a key is there twice, the file is unsafe anyway. */
function lookUp(table: Table, key: string, exact = false): unknown {
  const found = Object.keys(table).find((one) => folded(one, exact) === folded(key, exact));
  return found === undefined ? undefined : table[found];
}

/** Text of the file that is printed: nothing that looks like a secret, nothing that a terminal obeys. */
function shown(text: string): string {
  const plain = redactTokens(text).replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?');
  return plain.length <= 60 ? plain : `${plain.slice(0, 20)}…`;
}
