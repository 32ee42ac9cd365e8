import { fields, type RunnerConfig } from '../config.ts';
import { dockerKeys, type KeyRule, runnerKeys, topKeys, unsafeExecutors } from './rules.ts';

export interface Finding {
  /** The entry's name, or the file. */
  readonly runner: string;
  /** Path of the key, such as `runners.docker.privileged`. */
  readonly key: string;
  readonly reason: string;
  readonly safe: boolean;
}
export interface Judgement {
  readonly verdict: 'withhold' | 'expose';
  readonly findings: readonly Finding[];
}

/**
 * May jobs of this configuration see their pass (R7)? The worst entry that shares the host decides for all: a shell job reads what a container
 * job beside it does (A63). Pure; unknown means no.
 * @param top the whole file; undefined where only entries are known
 */
export function judge(config: Pick<RunnerConfig, 'entries'>, top: Readonly<Record<string, unknown>> = {}): Judgement {
  const findings: Finding[] = checkKeys('config.toml', '', top, topKeys);
  if (config.entries.length === 0)
    findings.push({ runner: 'config.toml', key: 'runners', reason: 'there is no runner in it', safe: false });
  for (const entry of config.entries) {
    const reason = Object.hasOwn(unsafeExecutors, entry.executor) ? unsafeExecutors[entry.executor] : undefined;
    if (reason !== undefined) findings.push({ runner: entry.name, key: 'executor', reason: `${entry.executor}: ${reason}`, safe: false });
    else if (entry.executor !== 'docker')
      findings.push({ runner: entry.name, key: 'executor', reason: `${entry.executor}: not known to keep jobs apart`, safe: false });
    else findings.push({ runner: entry.name, key: 'executor', reason: 'docker: each job in a container of its own', safe: true });
    findings.push(...checkKeys(entry.name, 'runners.', entry.raw, runnerKeys));
    findings.push(...checkKeys(entry.name, 'runners.docker.', fields(entry.raw['docker']), dockerKeys));
  }
  return { verdict: findings.every((finding) => finding.safe) ? 'expose' : 'withhold', findings };
}

function checkKeys(
  runner: string,
  path: string,
  values: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, KeyRule>>,
): Finding[] {
  const findings: Finding[] = [];
  for (const [key, value] of Object.entries(values)) {
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    const reason = rule === undefined ? 'unknown key: it may mean anything' : reasonOf(rule, value);
    if (reason !== undefined) findings.push({ runner, key: `${path}${key}`, reason, safe: false });
  }
  return findings;
}

function reasonOf(rule: KeyRule, value: unknown): string | undefined {
  if (rule.kind === 'harmless') return undefined;
  if (rule.kind === 'unsafe_value')
    return [value].flat().some((item) => typeof item !== 'string' || rule.pattern.test(item)) ? rule.reason : undefined;
  const empty =
    value === false ||
    value === '' ||
    value === 0 ||
    (Array.isArray(value) && value.length === 0) ||
    (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
  return empty ? undefined : rule.reason;
}

/** For people: the verdict, then a line for each finding. */
export function formatFindings(judgement: Judgement): string {
  const lines = judgement.findings.map(
    (finding) => `  ${finding.safe ? 'safe  ' : 'unsafe'}  ${finding.runner}: ${finding.key}: ${finding.reason}`,
  );
  const verdict = judgement.verdict === 'expose' ? 'expose: jobs that ask may see their pass here' : 'withhold: no job sees its pass here';
  return `${verdict}\n${lines.join('\n')}\n`;
}
