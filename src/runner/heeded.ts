import { isTable, type Table, tableIn, tablesIn } from './parsed.ts';

/** gitlab-runner's keys that mean the same here; sections of executors refuse what they do not have themselves. */
const ofFile = new Set(['concurrent', 'check_interval', 'shutdown_timeout', 'runners']);
const ofEntry = new Set(
  `id name url token token_obtained_at token_expires_at executor limit request_concurrency builds_dir cache_dir output_limit environment shell tls-ca-file
  pre_get_sources_script post_get_sources_script pre_clone_script post_clone_script pre_build_script post_build_script debug_trace_disabled
  unhealthy_requests_limit unhealthy_interval jobpass docker ssh custom_build_dir.enabled feature_flags.FF_NETWORK_PER_BUILD`.split(/\s+/),
);

/**
 * Keys of config.toml that this runner leaves out, as an operator who comes from gitlab-runner has to know: `runners[0].clone_url`. What says nothing, as
 * `gitlab-runner register` writes much of it, does not count. No value is in it.
 */
export function unheeded(raw: Table): readonly string[] {
  const own = unknownIn(raw, ofFile);
  const entries = tablesIn(raw, 'runners').flatMap((entry, index) => unknownIn(entry, ofEntry).map((key) => `runners[${index}].${key}`));
  return [...own, ...entries].map((key) => key.replaceAll(/[^\w.[\]-]/g, '?').slice(0, 100));
}

function unknownIn(table: Table, known: ReadonlySet<string>): readonly string[] {
  return Object.keys(table).flatMap((key) => {
    if (known.has(key)) return [];
    const section = tableIn(table, key);
    if (section === undefined) return isSaid(table[key]) ? [key] : [];
    return Object.keys(section)
      .filter((name) => !known.has(`${key}.${name}`) && isSaid(section[name]))
      .map((name) => `${key}.${name}`);
  });
}

function isSaid(value: unknown): boolean {
  if (isTable(value)) return Object.values(value).some(isSaid);
  if (Array.isArray(value)) return value.length > 0;
  return value !== false && value !== 0 && value !== '';
}
