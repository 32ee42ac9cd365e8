import { parseDuration } from './duration.ts';
import { type Fields, isFields, scalarText } from './fields.ts';
import type { PlanArtifacts } from './plan.ts';
import type { PartReader } from './reader.ts';
import { readReports } from './reports.ts';

/** @see GitLab, CI/CD YAML syntax reference: `artifacts` */
export function readArtifacts(value: unknown, path: readonly string[], reader: PartReader): PlanArtifacts {
  if (!isFields(value)) {
    reader.error(path, '`artifacts` must be a map');
    return { paths: [], exclude: [], when: 'on_success', untracked: false };
  }
  reader.within('artifacts').checkKeys(value, 'artifacts', path);
  const when = value['when'] ?? 'on_success';
  if (when !== 'on_success' && when !== 'on_failure' && when !== 'always')
    reader.error([...path, 'when'], '`artifacts:when` must be on_success, on_failure or always');
  const expireIn = value['expire_in'];
  if (expireIn !== undefined && expireIn !== 'never' && parseDuration(scalarText(expireIn)) === undefined)
    reader.error([...path, 'expire_in'], '`expire_in` must be a duration such as `1 week`, or `never`');
  return {
    paths: value['paths'] === undefined ? [] : reader.texts(value['paths'], [...path, 'paths']),
    exclude: value['exclude'] === undefined ? [] : reader.texts(value['exclude'], [...path, 'exclude']),
    ...(typeof value['name'] === 'string' ? { name: value['name'] } : {}),
    ...(expireIn === undefined || expireIn === 'never' ? {} : { expireIn: scalarText(expireIn) }),
    when: when === 'on_failure' || when === 'always' ? when : 'on_success',
    untracked: value['untracked'] === true,
    ...readAccess(value, path, reader),
    ...(value['reports'] === undefined ? {} : { reports: readReports(value['reports'], [...path, 'reports'], reader) }),
  };
}

/** `artifacts:access`, or `public: false` for the same as `developer`. @see GitLab, CI/CD YAML syntax reference: `artifacts:access` */
function readAccess(fields: Fields, path: readonly string[], reader: PartReader): Pick<PlanArtifacts, 'access'> {
  const { public: open, access } = fields;
  if (open !== undefined && typeof open !== 'boolean') reader.error([...path, 'public'], '`artifacts:public` must be true or false');
  if (open !== undefined && access !== undefined)
    reader.error([...path, 'access'], '`artifacts:access` and `artifacts:public` say the same: keep one of them');
  const given = access ?? (open === false ? 'developer' : 'all');
  const word = (['all', 'developer', 'maintainer', 'none'] as const).find((one) => one === given);
  if (word === undefined) reader.error([...path, 'access'], '`artifacts:access` must be all, developer, maintainer or none');
  return word === undefined || word === 'all' ? {} : { access: word };
}
