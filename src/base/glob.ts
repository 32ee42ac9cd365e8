import type { Budget } from './budget.ts';

/** Braces multiply; more alternatives than this make a pattern that matches nothing. */
const mostAlternatives = 200;

/**
 * Whether a path matches a pattern as Ruby's `File.fnmatch` says with FNM_PATHNAME, FNM_DOTMATCH and FNM_EXTGLOB: `*` and `?` stay within a
 * folder, two stars before a slash cross any number of them, `[a-z]` is a class, `{a,b}` a choice, `\` takes the next character as it is.
 * @param budget what matching may cost; once it is used up nothing matches, and the caller drops the result
 * @see GitLab, CI/CD YAML syntax reference: `rules:changes:paths`, `rules:exists:paths`
 */
export function matchesGlob(glob: Glob, path: string, budget: Budget): boolean {
  budget.left -= glob.length;
  const near = glob.filter(({ prefix }) => path.startsWith(prefix));
  return near.some(({ parts }) => matchesParts(parts, path.split('/'), budget));
}

/** Whether something below a folder could match. */
export function matchesBelow(glob: Glob, folder: string, budget: Budget): boolean {
  budget.left -= glob.length;
  return glob.some(({ parts }) => matchesParts(parts, folder.split('/'), budget, true));
}

/** Alternatives; each the parts of a path, `**` standing for any number of folders, and how every path begins that it matches. */
export type Glob = readonly { readonly prefix: string; readonly parts: readonly string[] }[];

/**
 * Reads a pattern. What cannot be one matches nothing.
 * @param deep two stars at the end cross folders as well, as they do for gitlab-runner
 */
export function readGlob(pattern: string, deep = false): Glob {
  return (alternatives(pattern) ?? []).map((one) => {
    const parts = one.split('/');
    return { prefix: /^[^*?[\\]*/.exec(one)?.[0] ?? '', parts: deep && parts.at(-1) === '**' ? [...parts, '*'] : parts };
  });
}

/** Whether anything in it is more than the name of one file. */
export function isGlob(pattern: string): boolean {
  return /[*?[{\\]/.test(pattern);
}

/** Ruby's braces nest, and an unmatched one is a character. */
function alternatives(pattern: string): readonly string[] | undefined {
  const open = /^(?:\\.|[^\\{])*/s.exec(pattern)?.[0].length ?? 0;
  const range = open >= pattern.length ? undefined : choices(pattern, open);
  if (range === undefined) return [pattern];
  const found: string[] = [];
  for (const choice of range.choices) {
    const inner = alternatives(pattern.slice(0, open) + choice + pattern.slice(range.end + 1));
    if (inner === undefined || found.length + inner.length > mostAlternatives) return undefined;
    found.push(...inner);
  }
  return found;
}

function choices(pattern: string, open: number): { readonly choices: readonly string[]; readonly end: number } | undefined {
  const found: string[] = [];
  let depth = 0;
  let from = open + 1;
  for (let at = open; at < pattern.length; at += 1) {
    const character = pattern[at];
    if (character === '\\') at += 1;
    else if (character === '{') depth += 1;
    else if (character === ',' && depth === 1) {
      found.push(pattern.slice(from, at));
      from = at + 1;
    } else if (character === '}') {
      depth -= 1;
      if (depth === 0) return { choices: [...found, pattern.slice(from, at)], end: at };
    }
  }
  return undefined;
}

/**
 * Row by row over the parts: which beginnings of the path the parts so far can be. Time is parts × folders.
 * @param below the path is a folder, and something below it is to match
 */
function matchesParts(parts: readonly string[], folders: readonly string[], budget: Budget, below = false): boolean {
  let ends: readonly boolean[] = [true, ...folders.map(() => false)];
  for (const [index, part] of parts.entries()) {
    budget.left -= folders.length;
    if (budget.left < 0) return false;
    if (below && ends.at(-1) === true) return true;
    // Only before a slash does it cross folders; at the end it is a star.
    const crosses = part === '**' && index < parts.length - 1;
    const next: boolean[] = ends.map(() => false);
    for (let at = 0; at <= folders.length; at += 1) {
      if (crosses) next[at] = ends[at] === true || (at > 0 && next[at - 1] === true);
      else if (at > 0) next[at] = ends[at - 1] === true && matchesName(part, folders[at - 1] ?? '', budget);
    }
    ends = next;
    if (!ends.includes(true)) return false;
  }
  return !below && ends.at(-1) === true;
}

/** Within one name: on a mismatch the last star takes one more character. Time is pattern × name at worst. */
function matchesName(pattern: string, name: string, budget: Budget): boolean {
  let at = 0;
  let position = 0;
  let star: Star | undefined;
  while (position < name.length) {
    budget.left -= 1;
    if (budget.left < 0) return false;
    if (pattern[at] === '*') {
      star = { after: at + 1, from: position };
      at += 1;
      continue;
    }
    const step = at < pattern.length ? takes(pattern, at, name[position] ?? '') : undefined;
    if (step !== undefined) {
      at = step;
      position += 1;
    } else if (star !== undefined) {
      star.from += 1;
      position = star.from;
      at = star.after;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

/** Where the pattern goes on behind what takes this character; undefined where it does not. */
function takes(pattern: string, at: number, character: string): number | undefined {
  const sign = pattern[at];
  if (sign === '?') return at + 1;
  if (sign === '[') return takesClass(pattern, at, character);
  if (sign === '\\' && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : undefined;
  return sign === character ? at + 1 : undefined;
}

/** `[abc]`, `[a-z]`, `[^a]`, `[!a]`; an open one matches nothing. */
function takesClass(pattern: string, open: number, character: string): number | undefined {
  let at = open + 1;
  const negated = pattern[at] === '^' || pattern[at] === '!';
  if (negated) at += 1;
  let found = false;
  while (pattern[at] !== ']') {
    if (pattern[at] === '\\') at += 1;
    const low = pattern[at];
    if (low === undefined) return undefined;
    at += 1;
    let high = low;
    if (pattern[at] === '-' && pattern[at + 1] !== ']') {
      at += pattern[at + 1] === '\\' ? 2 : 1;
      high = pattern[at] ?? low;
      at += 1;
    }
    if (low <= character && character <= high) found = true;
  }
  return found === negated ? undefined : at + 1;
}

/**
 * Whether a path matches a pattern of `include:local`: one star stays within a folder, two cross folders. On a mismatch the last star takes
 * one more character, and where that may not, the last two stars do.
 * @see GitLab, "Use `include:local` with wildcard file paths"
 */
export function matchesWildcard(pattern: string, path: string, budget: Budget): boolean {
  let at = 0;
  let position = 0;
  let single: Star | undefined;
  let double: Star | undefined;
  budget.left -= 1;
  while (position < path.length) {
    budget.left -= 1;
    if (budget.left < 0) return false;
    if (pattern.startsWith('**', at)) {
      while (pattern[at] === '*') at += 1;
      double = { after: at, from: position };
      single = undefined;
    } else if (pattern[at] === '*') {
      at += 1;
      single = { after: at, from: position };
    } else if (pattern[at] === path[position]) {
      at += 1;
      position += 1;
    } else {
      if (single !== undefined && path[single.from] === '/') single = undefined;
      const star: Star | undefined = single ?? double;
      if (star === undefined) return false;
      star.from += 1;
      position = star.from;
      at = star.after;
    }
  }
  return /^\**$/.test(pattern.slice(at));
}

/** What is behind a star, and where in the name that is tried next. */
interface Star {
  readonly after: number;
  from: number;
}
