import { isTable, type Table, tableIn, textIn, valueIn } from '../parsed.ts';
import { entryRules, executorRules, globalRules, jobpassRules, type KeyRules } from './rules.ts';

export interface Finding {
  /** Name of the entry; empty for the file itself. */
  readonly runner: string;
  /** Path of the key, such as `runners[0].docker.privileged`. */
  readonly key: string;
  readonly reason: string;
  readonly safe: boolean;
}

export interface Judgement {
  /** The worst entry decides for all: they share the host (R7, A63). */
  readonly verdict: 'withhold' | 'expose';
  readonly findings: readonly Finding[];
}

/**
 * Judges a whole config.toml: may jobs see their pass? Pure; unknown is unsafe.
 * @param config.raw the parsed file; undefined = it could not be read
 */
export function judge(config: { readonly raw: unknown }): Judgement {
  const { raw } = config;
  if (!isTable(raw)) return verdictOf([{ runner: '', key: '', reason: 'the configuration cannot be read', safe: false }]);
  const findings = judgeKeys(raw, globalRules, '', '');
  const runners = valueIn(raw, 'runners');
  if (!Array.isArray(runners) || runners.length === 0)
    findings.push({ runner: '', key: 'runners', reason: 'there is no runner in the configuration', safe: false });
  else {
    runners.forEach((entry: unknown, index) => {
      const path = `runners[${index}]`;
      if (isTable(entry)) findings.push(...judgeEntry(entry, path));
      else findings.push({ runner: '', key: path, reason: 'the entry is not a table', safe: false });
    });
  }
  return verdictOf(findings);
}

function verdictOf(findings: readonly Finding[]): Judgement {
  return { verdict: findings.every(({ safe }) => safe) ? 'expose' : 'withhold', findings };
}

function judgeEntry(entry: Table, path: string): Finding[] {
  const runner = textIn(entry, 'name') ?? '';
  const findings = judgeKeys(entry, entryRules, path, runner);
  const executor = textIn(entry, 'executor') ?? '';
  const rule = Object.hasOwn(executorRules, executor) ? executorRules[executor] : undefined;
  const found = (reason: string, safe: boolean): Finding => ({
    runner,
    key: `${path}.executor`,
    reason: `${executor} executor: ${reason}`,
    safe,
  });
  if (rule === undefined) findings.push(found('unknown, so nothing can be said for it', false));
  else if (rule.unsafe !== undefined) findings.push(found(rule.unsafe, false));
  else if (rule.section !== undefined && rule.keys !== undefined) {
    findings.push(found('each job has its own container', true));
    findings.push(...judgeSection(entry, rule.section, rule.keys, path, runner));
  }
  if (valueIn(entry, 'jobpass') !== undefined) findings.push(...judgeSection(entry, 'jobpass', jobpassRules, path, runner));
  return findings;
}

function judgeSection(entry: Table, section: string, rules: KeyRules, path: string, runner: string): Finding[] {
  const table = tableIn(entry, section);
  if (table !== undefined) return judgeKeys(table, rules, `${path}.${section}`, runner);
  return [{ runner, key: `${path}.${section}`, reason: 'the section is missing', safe: false }];
}

function judgeKeys(table: Table, rules: KeyRules, path: string, runner: string): Finding[] {
  const findings: Finding[] = [];
  for (const key of Object.keys(table)) {
    const full = path === '' ? key : `${path}.${key}`;
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    if (rule === undefined) findings.push({ runner, key: full, reason: 'unknown key', safe: false });
    else if (!rule.safe(valueIn(table, key))) findings.push({ runner, key: full, reason: rule.reason, safe: false });
  }
  return findings;
}

/** The verdict for people: one line for each finding, the unsafe ones first. Holds keys and reasons, never a value. */
export function formatFindings(judgement: Judgement): string {
  const lines = judgement.findings
    .toSorted((one, other) => Number(one.safe) - Number(other.safe))
    .map(({ safe, runner, key, reason }) => `  ${safe ? 'ok    ' : 'unsafe'}  ${key}${runner === '' ? '' : ` (${runner})`}: ${reason}`);
  const conclusion =
    judgement.verdict === 'expose'
      ? 'verdict: expose (a job may see its pass when it asks for it)'
      : 'verdict: withhold (no job of this host sees its pass)';
  return `${[...lines, conclusion].map((line) => line.replaceAll(/[\u0000-\u001f\u007f]/g, '?')).join('\n')}\n`;
}
