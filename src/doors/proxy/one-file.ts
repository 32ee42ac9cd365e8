import { JobpassError } from '../../base/errors.ts';

const headBytes = 4096;
const boundaryShape = /^multipart\/form-data; ?boundary=("?)([A-Za-z0-9'()+_.-]{8,70})\1$/i;
/** `filename*` and other parameters could be read in two ways. */
const dispositionShape = /^content-disposition: form-data; name="file"; filename="[^"\r\n]{1,255}"$/i;
const otherHead = /^content-(?:type|length): ?[ -~]{1,200}$/i;

/**
 * A form with one file and nothing else, on its way: fields beside it would be parameters that nobody has judged. Its last bytes come only after all
 * of it was found to be so: without them the forge has no form.
 * @throws unsupported, invalid_input
 */
export async function* oneFile(body: AsyncIterable<Buffer>, contentType: string | undefined): AsyncGenerator<Buffer> {
  const [, , boundary] = boundaryShape.exec(contentType ?? '') ?? [];
  if (boundary === undefined) throw new JobpassError('unsupported', 'Send multipart/form-data with the one part `file`.');
  const delimiter = Buffer.from(`--${boundary}`);
  const closing = Buffer.from(`\r\n--${boundary}--`);
  let held: Buffer = Buffer.alloc(0);
  let inFile = false;
  for await (const chunk of body) {
    held = Buffer.concat([held, chunk]);
    if (!inFile) {
      const end = held.indexOf('\r\n\r\n');
      if (end < 0 && held.length > headBytes) throw malformed();
      if (end < 0) continue;
      checkHead(held.subarray(0, end).toString('latin1'), boundary);
      inFile = true;
      yield held.subarray(0, end + 4);
      held = held.subarray(end + 4);
    }
    // What may be the form's end, or the beginning of it, waits.
    const found = held.indexOf(delimiter);
    const safe = found >= 0 ? Math.max(0, found - 2) : Math.max(0, held.length - closing.length - 2);
    if (found >= 0 && held.length > found - 2 + closing.length + 2) throw malformed();
    if (safe > 0) {
      yield held.subarray(0, safe);
      held = held.subarray(safe);
    }
  }
  const tail = held.indexOf(closing);
  if (!inFile || tail < 0 || !/^(?:\r\n)?$/.test(held.subarray(tail + closing.length).toString('latin1'))) throw malformed();
  yield held;
}

function checkHead(head: string, boundary: string): void {
  const [first, ...lines] = head.split('\r\n');
  const [disposition, ...rest] = [...lines].sort((one, other) => Number(otherHead.test(one)) - Number(otherHead.test(other)));
  if (
    first !== `--${boundary}` ||
    disposition === undefined ||
    !dispositionShape.test(disposition) ||
    !rest.every((line) => otherHead.test(line))
  )
    throw new JobpassError('invalid_input', 'Send the one part `file`, with a file name, and nothing else.');
}

function malformed(): JobpassError {
  return new JobpassError('invalid_input', 'The form has more than its one part `file`, or is malformed.');
}
