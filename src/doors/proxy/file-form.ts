import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';

/** A form that carries one file, which comes last. */
export interface FileForm {
  /** Name of the part that is the file. */
  readonly file: string;
  /** Parts that may stand before it; any other would be a parameter that nobody has judged. */
  readonly fields: ReadonlySet<string>;
}

const headBytes = 4096;
const boundaryShape = /^multipart\/form-data; ?boundary=("?)([A-Za-z0-9'()+_.-]{8,70})\1$/i;
/** `filename*` and other parameters could be read in two ways. */
const fileShape = /^content-disposition: form-data; name="([^"\r\n]{1,64})"; filename="[^"\r\n]{1,255}"$/i;
const fieldShape = /^content-disposition: form-data; name="([^"\r\n]{1,64})"$/i;
const otherHead = /^content-(?:type|length): ?[ -~]{1,200}$/i;

const upload: FileForm = { file: 'file', fields: new Set() };
/** What clients send of a Python package. @see https://docs.pypi.org/api/upload/; Core metadata specifications 2.5 */
const pypi: FileForm = {
  file: 'content',
  fields: new Set([
    ':action',
    'protocol_version',
    'filetype',
    'pyversion',
    'comment',
    'md5_digest',
    'sha256_digest',
    'blake2_256_digest',
    'attestations',
    'metadata_version',
    'name',
    'version',
    'platform',
    'platforms',
    'supported_platform',
    'supported_platforms',
    'summary',
    'description',
    'description_content_type',
    'keywords',
    'home_page',
    'download_url',
    'author',
    'author_email',
    'maintainer',
    'maintainer_email',
    'license',
    'license_expression',
    'license_file',
    'license_files',
    'classifiers',
    'dynamic',
    'import_name',
    'import_names',
    'import_namespace',
    'import_namespaces',
    'project_urls',
    'provides_dist',
    'provides_extra',
    'obsoletes_dist',
    'requires_dist',
    'requires_external',
    'requires_python',
    'provides',
    'obsoletes',
    'requires',
  ]),
};

/** @returns undefined where the body is the file itself */
export function fileFormOf(endpoint: string): FileForm | undefined {
  if (endpoint.endsWith('/uploads')) return upload;
  return endpoint.endsWith('/packages/pypi') ? pypi : undefined;
}

/**
 * A form with one file, on its way: its fields once each was found to be one that may be there, the file as it comes. Its last bytes come only after all
 * of it was found to be so: without them the forge has no form.
 * @throws unsupported, invalid_input, too_large (fields of more than 1 MiB)
 */
export async function* fileForm(body: AsyncIterable<Buffer>, contentType: string | undefined, form: FileForm): AsyncGenerator<Buffer> {
  const [, , boundary] = boundaryShape.exec(contentType ?? '') ?? [];
  if (boundary === undefined) throw new JobpassError('unsupported', `Send multipart/form-data with the part \`${form.file}\`.`);
  const delimiter = Buffer.from(`--${boundary}`);
  const closing = Buffer.from(`\r\n--${boundary}--`);
  let held: Buffer = Buffer.alloc(0);
  let fieldBytes = 0;
  let inFile = false;
  for await (const chunk of body) {
    held = Buffer.concat([held, chunk]);
    while (!inFile) {
      const end = held.indexOf('\r\n\r\n');
      if (end < 0 && held.length > headBytes) throw malformed(form);
      if (end < 0) break;
      inFile = isFile(held.subarray(0, end).toString('latin1'), boundary, form);
      const next = inFile ? end + 4 : endOfField(held, end + 4, delimiter, form);
      fieldBytes += next ?? 0;
      if (fieldBytes + (next === undefined ? held.length : 0) > limits.jsonBodyBytes)
        throw new JobpassError('too_large', 'The fields of the form are larger than 1 MiB together.');
      if (next === undefined) break;
      yield held.subarray(0, next);
      held = held.subarray(next);
    }
    if (!inFile) continue;
    // What may be the form's end, or the beginning of it, waits.
    const found = held.indexOf(delimiter);
    const safe = found >= 0 ? Math.max(0, found - 2) : Math.max(0, held.length - closing.length - 2);
    if (found >= 0 && held.length > found - 2 + closing.length + 2) throw malformed(form);
    if (safe > 0) {
      yield held.subarray(0, safe);
      held = held.subarray(safe);
    }
  }
  const tail = held.indexOf(closing);
  if (!inFile || tail < 0 || !/^(?:\r\n)?$/.test(held.subarray(tail + closing.length).toString('latin1'))) throw malformed(form);
  yield held;
}

/** Where the part after a field begins; undefined = it has not come yet. @param from where the field's value begins @throws invalid_input */
function endOfField(held: Buffer, from: number, delimiter: Buffer, form: FileForm): number | undefined {
  const found = held.indexOf(delimiter, from);
  if (found < 0 || held.length < found + delimiter.length + 2) return undefined;
  const after = held.subarray(found + delimiter.length, found + delimiter.length + 2).toString('latin1');
  if (found < from + 2 || held.subarray(found - 2, found).toString('latin1') !== '\r\n' || after !== '\r\n') throw malformed(form);
  return found;
}

/** @returns false for one of the fields @throws invalid_input for anything else */
function isFile(head: string, boundary: string, form: FileForm): boolean {
  const [first, ...lines] = head.split('\r\n');
  const [disposition = '', ...rest] = [...lines].sort((one, other) => Number(otherHead.test(one)) - Number(otherHead.test(other)));
  if (first !== `--${boundary}` || !rest.every((line) => otherHead.test(line))) throw malformed(form);
  if (fileShape.exec(disposition)?.[1] === form.file) return true;
  if (rest.length === 0 && form.fields.has(fieldShape.exec(disposition)?.[1] ?? '')) return false;
  throw malformed(form);
}

function malformed({ file, fields }: FileForm): JobpassError {
  const what = fields.size === 0 ? 'nothing else' : 'before it only the fields of a package';
  return new JobpassError(
    'invalid_input',
    `Send the part \`${file}\` with a file name, as the last one, and ${what}; or the form is malformed.`,
  );
}
