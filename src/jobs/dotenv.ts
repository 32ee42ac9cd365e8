import { limits } from '../base/limits.ts';
import type { PipelineVariable } from '../ports/jobs.ts';

/**
 * Reads a dotenv report: `KEY=value` a line, without comments, empty lines, quotes or expansion.
 * @returns the variables, or what is wrong, for people
 * @see GitLab CI/CD, "artifacts:reports:dotenv"
 */
export function parseDotenv(bytes: Buffer): readonly PipelineVariable[] | string {
  if (bytes.length > limits.dotenvBytes) return `a dotenv report has at most ${limits.dotenvBytes} bytes`;
  const text = bytes.toString('utf8');
  if (text.includes('\uFFFD') || text.includes('\0')) return 'a dotenv report is UTF-8 text';
  const variables: PipelineVariable[] = [];
  for (const [index, line] of text.replace(/\n$/, '').split('\n').entries()) {
    const at = line.indexOf('=');
    const key = line.slice(0, Math.max(0, at)).trim();
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(key)) return `line ${index + 1} of the dotenv report is not KEY=value`;
    variables.push({ key, value: line.slice(at + 1).trim() });
  }
  if (variables.length > limits.dotenvVariables) return `a dotenv report has at most ${limits.dotenvVariables} variables`;
  return variables;
}

/** Names that say what the server knows of a job: no job writes them for another one. */
const ours = /^(?:CI|GITLAB_CI|CI_.*|GITLAB_.*|JOBPASS_.*)$/;

/** What the dotenv reports of earlier jobs add to a job; of one name the last job's. */
export function dotenvVariables(
  sources: readonly { readonly dotenv: readonly PipelineVariable[] | null }[],
): readonly (readonly [string, string])[] {
  const variables = sources.flatMap(({ dotenv }) => dotenv ?? []).filter(({ key }) => !ours.test(key));
  return [...new Map(variables.map(({ key, value }) => [key, value]))];
}
