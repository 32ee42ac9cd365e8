import type { IncomingMessage } from 'node:http';
import { JobpassError } from '../../base/errors.ts';
import type { JobUpdate, RunnerInfo } from '../../wire/runner.ts';

export type Body = Readonly<Record<string, unknown>>;

/** A JSON object and the exact bytes that it came as, for the signature. @throws invalid_input, too_large */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<{ readonly body: Body; readonly raw: Buffer }> {
  const raw = await readAll(request, maxBytes);
  try {
    const body: unknown = raw.length === 0 ? {} : JSON.parse(raw.toString('utf8'));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { body: body as Body, raw };
  } catch {
    // Falls through to the one answer for what is no JSON object.
  }
  throw new JobpassError('invalid_input', 'The body must be a JSON object.');
}

/** A body with a limit. @throws too_large */
export async function readAll(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new JobpassError('too_large', `The body is larger than ${maxBytes} bytes.`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

/** A text, or nothing. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function fieldsOf(value: unknown): Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Body) : {};
}

/** Only what is used, and only where it has the right type: the rest of a runner's claims is not believed. */
export function infoOf(body: Body): RunnerInfo {
  const info = fieldsOf(body['info']);
  const version = textOf(info['version']);
  const gate = fieldsOf(info['jobpass']);
  const { key, verdict, unsafe } = gate;
  const report =
    typeof key === 'string' && (verdict === 'withhold' || verdict === 'expose') && typeof unsafe === 'boolean'
      ? { jobpass: { key, verdict, unsafe, reasons: [] } as const }
      : {};
  return { ...(version === undefined ? {} : { version }), ...report };
}

/** `PUT /jobs/:id`. @throws invalid_input */
export function updateOf(body: Body): JobUpdate {
  const state = (['pending', 'running', 'success', 'failed'] as const).find((word) => word === body['state']);
  if (state === undefined) throw new JobpassError('invalid_input', 'state is missing or unknown');
  const output = fieldsOf(body['output']);
  const [reason, checksum, outputChecksum] = [textOf(body['failure_reason']), textOf(body['checksum']), textOf(output['checksum'])];
  const exitCode = body['exit_code'];
  const bytesize = output['bytesize'];
  return {
    state,
    ...(reason === undefined ? {} : { failure_reason: reason }),
    ...(checksum === undefined ? {} : { checksum }),
    ...(Number.isSafeInteger(exitCode) ? { exit_code: Number(exitCode) } : {}),
    output: {
      ...(outputChecksum === undefined ? {} : { checksum: outputChecksum }),
      ...(Number.isSafeInteger(bytesize) ? { bytesize: Number(bytesize) } : {}),
    },
  };
}
