import { permissionWords } from '../pass/permission-words.ts';
import type { CiFile, CiRule } from '../pipeline/ci-file.ts';
import { writtenName } from '../pipeline/warnings.ts';
import { exposures } from './exposure.ts';

type Variables = Readonly<Record<string, string>>;
const known = ['JOBPASS_EXPOSE', 'JOBPASS_PERMISSIONS', 'JOBPASS_PROJECTS'] as const;

/** What a file says to jobpass itself and does not mean anything: else a job's trace would be the first to tell, or nobody. */
export function passWarnings({ variables, workflow, jobs }: CiFile): readonly string[] {
  const places: readonly (readonly [string, Variables])[] = [
    ['variables', variables],
    ...ofRules('workflow', workflow?.rules),
    ...jobs.flatMap((job) => {
      const where = `jobs:${writtenName(job)}`;
      return [[where, job.variables] as const, ...ofRules(where, job.rules)];
    }),
  ];
  const found = places.flatMap(([where, given]) =>
    Object.entries(given).flatMap(([name, value]) => mistakesIn(name, value).map((text) => `${where}: ${text}`)),
  );
  return [...new Set(found)];
}

function ofRules(where: string, rules: readonly CiRule[] = []): readonly (readonly [string, Variables])[] {
  return rules.map(({ variables }) => [`${where}:rules`, variables] as const);
}

function mistakesIn(name: string, value: string): readonly string[] {
  if (name === 'JOBPASS_EXPOSE' && !exposures.some((word) => word === value))
    return [`JOBPASS_EXPOSE is ${JSON.stringify(value)}, which is none of ${exposures.join(', ')}: the script would not see its pass`];
  if (name === 'JOBPASS_PERMISSIONS') {
    const words = permissionWords(value);
    return 'odd' in words ? [`JOBPASS_PERMISSIONS: there is no permission ${JSON.stringify(words.odd)}: the pass could do nothing`] : [];
  }
  // Others of that beginning belong to the commands of jobpass, such as JOBPASS_URL.
  const meant = known.find((one) => one !== name && name.toUpperCase().startsWith(one.slice(0, 12)));
  return meant === undefined || known.some((one) => one === name) ? [] : [`\`${name}\` means nothing to jobpass, ${meant} does`];
}
