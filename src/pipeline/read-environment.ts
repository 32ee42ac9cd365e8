import type { CiJob } from './ci-file.ts';
import { parseDuration } from './duration.ts';
import { tiers } from './environment-tier.ts';
import { isFields, scalarText } from './fields.ts';
import type { PartReader } from './reader.ts';

const actions = ['start', 'prepare', 'stop', 'verify', 'access'] as const;
const urlLength = 255;
const textLength = 255;
/** GitLab's letters for a name, and those of the variables in it. */
const namePattern = /^[\w \-/.${}]{1,255}$/;

/** @see GitLab, CI/CD YAML syntax reference: `environment` */
export function readEnvironment(value: unknown, path: readonly string[], outer: PartReader): Pick<CiJob, 'environment'> {
  const reader = outer.within('environment');
  if (!isFields(value)) return named(scalarText(value), path, reader);
  reader.checkKeys(value, 'environment', path);
  const word = <Word extends string>(name: string, words: readonly Word[]): Word | undefined => {
    const found = words.find((one) => one === value[name]);
    if (value[name] !== undefined && found === undefined) reader.error([...path, name], `\`${name}\` must be one of ${words.join(', ')}`);
    return found;
  };
  const { environment } = named(scalarText(value['name']), [...path, 'name'], reader);
  const action = word('action', actions);
  const given = value['deployment_tier'];
  // One with variables is known once they are put in.
  const tier = typeof given === 'string' && given.includes('$') && given.length <= textLength ? given : word('deployment_tier', tiers);
  const url = value['url'];
  if (url !== undefined && (typeof url !== 'string' || url === '' || url.length > urlLength))
    reader.error([...path, 'url'], `\`url\` must be a text of 1 to ${urlLength} characters`);
  const [onStop, autoStopIn] = [value['on_stop'], value['auto_stop_in']];
  if (onStop !== undefined && (typeof onStop !== 'string' || onStop === ''))
    reader.error([...path, 'on_stop'], '`on_stop` must be the name of a job');
  const period = autoStopIn === undefined ? undefined : scalarText(autoStopIn);
  if (period !== undefined && !period.includes('$') && !isPeriod(period))
    reader.error([...path, 'auto_stop_in'], '`auto_stop_in` must be a duration such as `1 day`, or `never`');
  if (environment === undefined) return {};
  return {
    environment: {
      ...environment,
      ...(action === undefined ? {} : { action }),
      ...(tier === undefined ? {} : { tier }),
      ...(typeof url === 'string' ? { url } : {}),
      ...(typeof onStop === 'string' ? { onStop } : {}),
      ...(period === undefined ? {} : { autoStopIn: period }),
    },
  };
}

function named(name: string, path: readonly string[], reader: PartReader): Pick<CiJob, 'environment'> {
  if (isEnvironmentName(name)) return { environment: { name, action: 'start' } };
  reader.error(path, '`name` must be 1 to 255 letters, digits, spaces and `-_/.${}`, and neither begin nor end with `/`');
  return {};
}

/** What `auto_stop_in` may say, once its variables are put in. */
export function isPeriod(text: string): boolean {
  return text.length <= textLength && (text === 'never' || (parseDuration(text) ?? 0) > 0);
}

/** What an environment may be called, before and after its variables were put in. */
export function isEnvironmentName(name: string): boolean {
  return namePattern.test(name) && !name.startsWith('/') && !name.endsWith('/');
}
