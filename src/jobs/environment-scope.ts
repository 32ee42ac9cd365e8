/**
 * Whether a variable's environment scope covers a job's environment; `*` stands for any text. A job without an environment gets what is for all.
 * @see GitLab CI/CD, "Limit the environment scope of a CI/CD variable"
 */
export function scopeCovers(scope: string, environment: string | undefined): boolean {
  if (scope === '*') return true;
  if (environment === undefined) return false;
  // Each part between stars is looked for once, from the left: no scope takes longer than the name is.
  const [first = '', ...rest] = scope.split('*');
  if (rest.length === 0) return scope === environment;
  const last = rest.pop() ?? '';
  if (!environment.startsWith(first) || environment.length < first.length + last.length || !environment.endsWith(last)) return false;
  let at = first.length;
  const end = environment.length - last.length;
  for (const part of rest) {
    const found = environment.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return at <= end;
}

/** The more of the name a scope says, the more it counts; one that says all of it most. */
export function scopeRank(scope: string): number {
  return scope.includes('*') ? scope.replaceAll('*', '').length : Infinity;
}
