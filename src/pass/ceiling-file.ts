import { JobpassError } from '../base/errors.ts';
import type { Ceiling } from '../policy/ceiling.ts';
import type { Directory } from '../ports/directory.ts';
import { namePlaces } from './name-places.ts';
import { permissionWords } from './permission-words.ts';

/**
 * A ceiling as an operator writes it: `{"permissions": ["code:*"], "projects": ["group/app", "tools/*"]}`.
 * @throws invalid_input for anything that cannot be read with certainty, or names what is not there (R13)
 */
export async function ceilingFromFile(text: string, directory: Directory): Promise<Ceiling> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new JobpassError('invalid_input', 'The ceiling file is no JSON.', error);
  }
  const { permissions, projects, ...rest }: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {};
  const odd = Object.keys(rest)[0];
  if (odd !== undefined)
    throw new JobpassError(
      'invalid_input',
      `The ceiling file has an unknown key ${JSON.stringify(odd)}; it has permissions, and maybe projects.`,
    );
  const read = permissionWords(textsOf('permissions', permissions).join(' '));
  if ('odd' in read)
    throw new JobpassError('invalid_input', `The ceiling file names no permission that there is: ${JSON.stringify(read.odd)}.`);
  if (projects === undefined) return { permissions: read.words, places: null };
  const { places, unknown } = await namePlaces(directory, textsOf('projects', projects));
  if (unknown.length > 0)
    throw new JobpassError('invalid_input', `The ceiling file names what is not there: ${unknown.join(', ').slice(0, 500)}.`);
  return { permissions: read.words, places };
}

function textsOf(name: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((one): one is string => typeof one === 'string')) return value;
  throw new JobpassError('invalid_input', `The ceiling file's ${name} must be a list of texts that is not empty.`);
}
