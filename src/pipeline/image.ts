import { type Fields, isFields, quoteHint, scalarText, variableText } from './fields.ts';
import type { PlanImage, PlanService } from './plan.ts';
import { type PartReader, shorten } from './reader.ts';

const policies = ['always', 'if-not-present', 'never'];
const mostServices = 20;

/** @see GitLab, CI/CD YAML syntax reference: `image` */
export function readImage(value: unknown, path: readonly string[], reader: PartReader): PlanImage {
  if (typeof value === 'string' && value !== '') return { name: value };
  if (isFields(value) && typeof value['name'] === 'string' && value['name'] !== '') {
    reader.within('image').checkKeys(value, 'image', path);
    return container(value, value['name'], path, reader);
  }
  reader.error(path, '`image` must be a name, or a map with `name`');
  return { name: '' };
}

/** @see GitLab, CI/CD YAML syntax reference: `services` */
export function readServices(value: unknown, path: readonly string[], reader: PartReader): readonly PlanService[] {
  if (!Array.isArray(value) || value.length > mostServices) {
    reader.error(path, `\`services\` must be a list of at most ${mostServices} names or maps with \`name\``);
    return [];
  }
  return value.flatMap((one: unknown, index) => {
    const at = [...path, String(index)];
    if (typeof one === 'string' && one !== '') return [{ name: one, alias: '' }];
    if (!isFields(one) || typeof one['name'] !== 'string' || one['name'] === '') {
      reader.error(at, 'a service must be a name, or a map with `name`');
      return [];
    }
    reader.within('services').checkKeys(one, 'service', at);
    const command = one['command'] === undefined ? {} : { command: reader.texts(one['command'], [...at, 'command']) };
    const alias = one['alias'];
    if (alias !== undefined && typeof alias !== 'string')
      reader.error([...at, 'alias'], '`alias` must be a text; several stand in one, with spaces between');
    return [
      {
        ...container(one, one['name'], at, reader),
        alias: typeof alias === 'string' ? alias : '',
        ...command,
        ...variables(one['variables'], [...at, 'variables'], reader),
      },
    ];
  });
}

function container(fields: Fields, name: string, path: readonly string[], reader: PartReader): PlanImage {
  const entrypoint = fields['entrypoint'] === undefined ? {} : { entrypoint: reader.texts(fields['entrypoint'], [...path, 'entrypoint']) };
  return {
    name,
    ...entrypoint,
    ...pullPolicy(fields['pull_policy'], [...path, 'pull_policy'], reader),
    ...docker(fields['docker'], [...path, 'docker'], reader),
    ...kubernetes(fields['kubernetes'], [...path, 'kubernetes'], reader),
  };
}

function pullPolicy(value: unknown, path: readonly string[], reader: PartReader): { pullPolicy?: readonly string[] } {
  if (value === undefined) return {};
  const chosen = typeof value === 'string' ? [value] : reader.texts(value, path);
  if (!chosen.every((policy) => policies.includes(policy))) reader.error(path, `\`pull_policy\` must be of ${policies.join(', ')}`);
  return { pullPolicy: chosen };
}

function docker(value: unknown, path: readonly string[], reader: PartReader): { docker?: NonNullable<PlanImage['docker']> } {
  if (value === undefined) return {};
  if (!isFields(value)) {
    reader.error(path, '`docker` must be a map with `user` or `platform`');
    return {};
  }
  reader.within('docker').checkKeys(value, 'docker', path);
  const { user, platform } = value;
  return {
    docker: {
      ...(user === undefined ? {} : { user: scalarText(user) }),
      ...(platform === undefined ? {} : { platform: scalarText(platform) }),
    },
  };
}

/** @see GitLab, CI/CD YAML syntax reference: `image:kubernetes` */
function kubernetes(value: unknown, path: readonly string[], reader: PartReader): Pick<PlanImage, 'kubernetes'> {
  if (value === undefined) return {};
  if (isFields(value)) reader.within('kubernetes').checkKeys(value, 'kubernetes', path);
  const user = isFields(value) ? scalarText(value['user']) : '';
  if (/^[^:]{1,255}(?::[^:]{1,255})?$/.test(user)) return { kubernetes: { user } };
  reader.error(path, '`kubernetes` must be a map with `user`: a name or number, or `uid:gid` (quote it)');
  return {};
}

function variables(value: unknown, path: readonly string[], reader: PartReader): { variables?: Readonly<Record<string, string>> } {
  if (value === undefined) return {};
  if (!isFields(value)) {
    reader.error(path, '`variables` must be a map');
    return {};
  }
  const entries = Object.entries(value).map(([key, one]) => {
    const text = variableText(one);
    if (text === undefined) reader.error([...path, key], `variable \`${shorten(key)}\` must be a text or a whole number ${quoteHint}`);
    return [key, text ?? ''] as const;
  });
  if (!entries.every(([key]) => /^[A-Za-z_]\w{0,254}$/.test(key))) reader.error(path, 'a name of a variable is invalid');
  return { variables: Object.fromEntries(entries) };
}
