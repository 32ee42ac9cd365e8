import { limits } from '../base/limits.ts';
import type { CiJob } from './ci-file.ts';
import { isFields, isTexts } from './fields.ts';
import type { PartReader } from './reader.ts';

/** @see GitLab, CI/CD YAML syntax reference: `hooks` */
export function readHooks(value: unknown, path: readonly string[], outer: PartReader): Pick<CiJob, 'hooks'> {
  if (!isFields(value)) {
    outer.error(path, '`hooks` must be a map with `pre_get_sources_script`');
    return {};
  }
  const reader = outer.within('hooks');
  reader.checkKeys(value, 'hooks', path);
  const script = value['pre_get_sources_script'];
  return { hooks: { preGetSources: script === undefined ? [] : reader.script(script, [...path, 'pre_get_sources_script']) } };
}

/** Name of a variable → audience, a text or several. @see GitLab, CI/CD YAML syntax reference: `id_tokens` */
export function readIdTokens(value: unknown, path: readonly string[], outer: PartReader): Pick<CiJob, 'idTokens'> {
  const entries = isFields(value) ? Object.entries(value) : [];
  if (entries.length === 0 || entries.length > limits.idTokensPerJob) {
    outer.error(path, `\`id_tokens\` must be a map of 1 to ${limits.idTokensPerJob} names, each with \`aud\``);
    return {};
  }
  const reader = outer.within('id_tokens');
  const tokens = entries.flatMap(([name, given]) => {
    const at = [...path, name];
    if (!/^[A-Za-z_]\w{0,254}$/.test(name)) reader.error(at, `\`${name.slice(0, 100)}\` is not a variable name`);
    if (isFields(given)) reader.within(name.slice(0, 100)).checkKeys(given, 'id_token', at);
    const aud: unknown = isFields(given) ? given['aud'] : undefined;
    const texts = typeof aud === 'string' ? [aud] : isTexts(aud) ? aud.map(String) : [];
    if (texts.length > 0 && texts.length <= 10 && texts.every((text) => text !== '' && text.length <= 1024))
      return [[name, typeof aud === 'string' ? aud : texts] as const];
    reader.error(at, `\`${name.slice(0, 100)}\` must have \`aud\`: the audience, or a list of at most 10`);
    return [];
  });
  return { idTokens: Object.fromEntries(tokens) };
}
