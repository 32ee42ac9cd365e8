import type { CiJob } from './ci-file.ts';
import { readPattern } from './expression.ts';
import { isFields } from './fields.ts';
import type { Policy, PolicyRef } from './policy.ts';
import { readChanges } from './read-globs.ts';
import { type PartReader, shorten } from './reader.ts';

const most = 50;

/** @see GitLab, "Deprecated keywords": `only` */
export function readOnly(value: unknown, path: readonly string[], reader: PartReader): Pick<CiJob, 'only'> {
  return { only: readPolicy(value, path, reader) };
}

/** @see GitLab, "Deprecated keywords": `except` */
export function readExcept(value: unknown, path: readonly string[], reader: PartReader): Pick<CiJob, 'except'> {
  return { except: readPolicy(value, path, reader) };
}

/** Both at once would leave open which of them counts. @param path of the job */
export function checkPolicies(job: CiJob, path: readonly string[], reader: PartReader): void {
  if (job.rules === undefined) return;
  for (const keyword of ['only', 'except'] as const)
    if (job[keyword] !== undefined) reader.error([...path, keyword], `\`${keyword}\` may not be used with \`rules\``);
}

function readPolicy(value: unknown, path: readonly string[], outer: PartReader): Policy {
  const keyword = path.at(-1) ?? '';
  const reader = outer.within(keyword);
  if (Array.isArray(value)) return { refs: readRefs(value, path, reader) };
  if (!isFields(value)) {
    outer.error(path, `\`${keyword}\` must be a list of refs, or a map with \`refs\`, \`variables\` or \`changes\``);
    return {};
  }
  reader.checkKeys(value, 'policy', path);
  const { refs, variables, changes } = value;
  return {
    ...(refs === undefined ? {} : { refs: readRefs(refs, [...path, 'refs'], reader) }),
    ...(variables === undefined ? {} : { variables: readExpressions(variables, [...path, 'variables'], reader) }),
    ...(changes === undefined ? {} : { changes: readChanges(isFields(changes) ? undefined : changes, [...path, 'changes'], reader).paths }),
  };
}

function readRefs(value: unknown, path: readonly string[], reader: PartReader): readonly PolicyRef[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  if (given.length <= most && given.every((ref) => typeof ref === 'string' && ref !== ''))
    return given.flatMap((ref) => (typeof ref === 'string' ? readRef(ref, path, reader) : []));
  reader.error(path, `refs must be a list of at most ${most} texts`);
  return [];
}

/** What stands behind an `@` is a project's path, also in a pattern: GitLab parts them there. */
function readRef(text: string, path: readonly string[], reader: PartReader): readonly PolicyRef[] {
  const at = text.indexOf('@');
  const [ref, project] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  if (project !== undefined && !/^[^/]+\/.*[^/]$/.test(project)) {
    reader.error(path, `\`${shorten(text)}\`: behind the first \`@\` stands the whole path of a project`);
    return [];
  }
  const within = project === undefined ? {} : { project };
  if (!ref.startsWith('/')) return [{ matches: ref, ...within }];
  const pattern = readPattern(ref);
  if (pattern !== undefined) return [{ matches: pattern, ...within }];
  reader.error(path, `\`${shorten(ref)}\` is not a regular expression (RE2) between two \`/\`, with no flags but \`ismU\` behind them`);
  return [];
}

function readExpressions(value: unknown, path: readonly string[], reader: PartReader): NonNullable<Policy['variables']> {
  const given: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  return given.slice(0, most + 1).flatMap((text, index) => {
    if (typeof text !== 'string' || index === most) {
      reader.error(path, `\`variables\` must be a list of at most ${most} expressions`);
      return [];
    }
    const parsed = reader.expression(text);
    if (parsed.ok) return [parsed.expression];
    reader.error([...path, String(index)], `variables: ${parsed.message}`);
    return [];
  });
}
