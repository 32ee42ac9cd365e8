/**
 * git refuses to work in folders of another user, and the checkout need not be of the container's. In there is one job only, so it may trust all of them: added to
 * what the job says to git in this way itself.
 * @see git-config, `safe.directory` and `GIT_CONFIG_COUNT`
 */
export function trusting(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const count = env['GIT_CONFIG_COUNT'] ?? '0';
  if (!/^\d{1,3}$/.test(count)) return env;
  const at = Number(count);
  return { ...env, GIT_CONFIG_COUNT: String(at + 1), [`GIT_CONFIG_KEY_${at}`]: 'safe.directory', [`GIT_CONFIG_VALUE_${at}`]: '*' };
}
