import type { IncomingMessage } from 'node:http';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { SignedReport } from '../../jobs/jobs.ts';
import type { ManagerInfo } from '../../ports/runners.ts';
import { type ArtifactFormat, artifactFormats, reportFormat } from '../../wire/reports.ts';
import type { JobUpdate } from '../../wire/runner.ts';

export type Body = Readonly<Record<string, unknown>>;

/** A JSON object and the exact bytes that it came as, for the signature. @throws invalid_input, too_large */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<{ readonly body: Body; readonly raw: Buffer }> {
  const raw = await readAll(request, maxBytes);
  return { body: objectIn(raw), raw };
}

/** A JSON object. @throws invalid_input */
export function objectIn(raw: Buffer): Body {
  try {
    const body: unknown = raw.length === 0 ? {} : JSON.parse(raw.toString('utf8'));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Body;
  } catch {
    // Falls through to the one answer for what is no JSON object.
  }
  throw new JobpassError('invalid_input', 'The body must be a JSON object.');
}

/** A body with a limit. @throws too_large */
export async function readAll(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  // A request that is refused here still wants its answer, which goes out on the same socket.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
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

/** A runner's own verdict on its configuration (R7), where it sent a whole one; believed only when the request is signed. */
export function gateReportOf(body: Body): SignedReport | undefined {
  const { key, verdict, unsafe } = fieldsOf(fieldsOf(body['info'])['jobpass']);
  if (typeof key !== 'string' || typeof unsafe !== 'boolean' || (verdict !== 'withhold' && verdict !== 'expose')) return undefined;
  return { verdict, unsafe };
}

const maxFeatures = 100;

/** What a machine says of itself, cut to what is kept, and only where it has the right type. */
export function managerInfoOf(body: Body): ManagerInfo {
  const info = fieldsOf(body['info']);
  const short = (name: string): string | null =>
    textOf(info[name])
      ?.replaceAll(/[^\x20-\x7e]/g, '')
      .slice(0, 100) ?? null;
  const features = Object.entries(fieldsOf(info['features'])).filter(([name, has]) => has === true && /^[a-z][a-z0-9_]{0,63}$/.test(name));
  return {
    version: short('version'),
    revision: short('revision'),
    platform: short('platform'),
    architecture: short('architecture'),
    executor: short('executor'),
    features: features
      .slice(0, maxFeatures)
      .map(([name]) => name)
      .toSorted(),
  };
}

/** `s_` or `r_` and twelve letters; whatever a client chose is a name and nothing more. @throws invalid_input */
export function systemIdOf(body: Body): string {
  const text = textOf(body['system_id']);
  if (text === undefined || text === '') return '<legacy>';
  if (!/^[\w.:-]{1,64}$/.test(text)) throw new JobpassError('invalid_input', 'system_id is invalid');
  return text;
}

/** What `POST /runners` asks the new runner to be. @throws invalid_input */
export function newRunnerOf(body: Body) {
  const flag = (name: string): boolean | undefined => {
    const value = body[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'boolean') throw new JobpassError('invalid_input', `${name} is invalid`);
    return value;
  };
  const list = body['tag_list'];
  const words: readonly unknown[] = typeof list === 'string' ? list.split(',') : Array.isArray(list) ? list : [];
  const tags = words.map((word) => String(word).trim()).filter((word) => word !== '');
  if (tags.length > 50 || tags.some((tag) => tag.length > 255)) throw new JobpassError('invalid_input', 'tag_list is invalid');
  const access = body['access_level'] ?? 'not_protected';
  if (access !== 'not_protected' && access !== 'ref_protected') throw new JobpassError('invalid_input', 'access_level is invalid');
  const active = flag('active');
  return {
    description: (textOf(body['description']) ?? '').slice(0, 255),
    maintenanceNote: (textOf(body['maintenance_note']) ?? '').slice(0, 1024),
    tags: [...new Set(tags)],
    runUntagged: flag('run_untagged') ?? tags.length === 0,
    locked: flag('locked') ?? false,
    paused: flag('paused') ?? (active === undefined ? false : !active),
    protectedOnly: access === 'ref_protected',
    maximumTimeoutSeconds: maximumTimeoutOf(body['maximum_timeout']),
  };
}

/** Seconds, at least ten minutes as at GitLab; null = none. @throws invalid_input */
export function maximumTimeoutOf(value: unknown): number | null {
  if (value === undefined || value === null || value === '') return null;
  const seconds = Number(value);
  if (!Number.isSafeInteger(seconds) || seconds < 600)
    throw new JobpassError('invalid_input', 'maximum_timeout needs to be at least 10 minutes');
  if (seconds > limits.runnerTimeoutSeconds) throw new JobpassError('invalid_input', 'maximum_timeout is a year at most');
  return seconds;
}

/** What an upload says that it is; the archive may have any form. @throws invalid_input */
export function parseReportKind(type: string | null, format: string | null): { readonly type: string; readonly format: ArtifactFormat } {
  const kind = type === null || type === '' ? 'archive' : type;
  const given = format === null || format === '' ? 'zip' : artifactFormats.find((one) => one === format);
  if (given === undefined) throw new JobpassError('invalid_input', `artifact_format is none of ${artifactFormats.join(', ')}`);
  if (kind === 'archive') return { type: kind, format: given };
  const expected = reportFormat(kind);
  if (expected === undefined) throw new JobpassError('invalid_input', 'artifact_type is not known');
  // Whoever reads a report knows by its type what it is.
  if (expected !== given) throw new JobpassError('invalid_input', `artifacts of type ${kind} come in format ${expected}`);
  return { type: kind, format: given };
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
