import { type Digest, parseDigest } from '../../../base/digest.ts';
import { JobpassError } from '../../../base/errors.ts';
import { limits } from '../../../base/limits.ts';

/** A manifest that was read; the bytes themselves are kept as they came. @see OCI image-spec, manifest.md and image-index.md */
export interface ReadManifest {
  readonly mediaType: string;
  /** As text, byte for byte the same. */
  readonly content: string;
  /** Blobs that must be in the repository. */
  readonly blobs: readonly Digest[];
  /** Manifests that must be there. */
  readonly manifests: readonly Digest[];
  readonly subject: Digest | null;
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>> | null;
  /** Sum of all that it names. */
  readonly totalSizeBytes: number;
}

const images = new Set(['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json']);
const indexes = new Set(['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json']);
/** What these name lies elsewhere, at their own URLs; nobody uploads it. */
const elsewhere = /(?:\.foreign\.|\.nondistributable\.)/;
const mediaTypeShape = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

type Fields = Readonly<Record<string, unknown>>;

/** @throws invalid_input with what is wrong, too_large */
export function readManifest(contentType: string, bytes: Buffer): ReadManifest {
  if (bytes.length > limits.manifestBytes) throw new JobpassError('too_large', `A manifest has at most ${limits.manifestBytes} bytes.`);
  const content = textOf(bytes);
  const fields = objectOf(parse(content), 'the manifest');
  const mediaType = contentType.split(';')[0]?.trim() ?? '';
  if (!images.has(mediaType) && !indexes.has(mediaType)) throw wrong(`the media type ${mediaType.slice(0, 100)} is not served`);
  if (fields['schemaVersion'] !== 2) throw wrong('schemaVersion must be 2');
  // Two readings of one document is how clients are fooled: the header and the document must agree (CVE-2021-41190).
  if (fields['mediaType'] !== undefined && fields['mediaType'] !== mediaType) throw wrong('its mediaType is not the Content-Type');
  if (fields['layers'] !== undefined && fields['manifests'] !== undefined) throw wrong('it has both layers and manifests');
  const index = indexes.has(mediaType);
  if (index ? fields['layers'] !== undefined || fields['config'] !== undefined : fields['manifests'] !== undefined)
    throw wrong(`that is no ${index ? 'index' : 'image manifest'}`);
  const config = index ? undefined : descriptorOf(fields['config'], 'config');
  const parts = listOf(fields[index ? 'manifests' : 'layers'], index ? 'manifests' : 'layers');
  const subject = fields['subject'] === undefined ? null : descriptorOf(fields['subject'], 'subject');
  const named = [...(config === undefined ? [] : [config]), ...parts];
  const totalSizeBytes = named.reduce((sum, one) => sum + one.size, 0);
  if (!Number.isSafeInteger(totalSizeBytes)) throw wrong('its sizes are too large');
  return {
    mediaType,
    content,
    blobs: index ? [] : named.filter((one) => !elsewhere.test(one.mediaType)).map((one) => one.digest),
    manifests: index ? parts.map((one) => one.digest) : [],
    subject: subject?.digest ?? null,
    artifactType: typeof fields['artifactType'] === 'string' ? fields['artifactType'].slice(0, 255) : (config?.mediaType ?? null),
    annotations: annotationsOf(fields['annotations']),
    totalSizeBytes,
  };
}

function textOf(bytes: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Said below.
  }
  throw wrong('it is not UTF-8');
}

function parse(text: string): unknown {
  // Depth before parsing: JSON.parse is linear, what walks the value is not asked to be.
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (inString) {
      if (letter === '\\') at += 1;
      else if (letter === '"') inString = false;
    } else if (letter === '"') inString = true;
    else if (letter === '{' || letter === '[') {
      depth += 1;
      if (depth > limits.jsonDepth) throw wrong(`it nests deeper than ${limits.jsonDepth}`);
    } else if (letter === '}' || letter === ']') depth -= 1;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw wrong('it is not JSON');
  }
}

function listOf(value: unknown, name: string) {
  if (!Array.isArray(value)) throw wrong(`${name} is not a list`);
  if (value.length > limits.manifestReferences)
    throw new JobpassError('too_large', `A manifest names at most ${limits.manifestReferences} parts.`);
  return value.map((one: unknown) => descriptorOf(one, name));
}

function descriptorOf(value: unknown, name: string) {
  const fields = objectOf(value, name);
  const { digest, size, mediaType } = fields;
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined;
  if (parsed === undefined) throw wrong(`${name} has no digest that is served`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw wrong(`${name} has no size`);
  if (typeof mediaType !== 'string' || !mediaTypeShape.test(mediaType)) throw wrong(`${name} has no media type`);
  return { digest: parsed, size, mediaType };
}

function annotationsOf(value: unknown): Readonly<Record<string, string>> | null {
  if (value === undefined || value === null) return null;
  const entries = Object.entries(objectOf(value, 'annotations'));
  const texts = entries.flatMap(([key, one]) => (typeof one === 'string' ? [[key, one] as const] : []));
  if (texts.length !== entries.length) throw wrong('an annotation is not a text');
  return Object.fromEntries(texts);
}

function objectOf(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(`${name} is not an object`);
  return value as Fields;
}

function wrong(what: string): JobpassError {
  return new JobpassError('invalid_input', `The manifest is not valid: ${what}.`);
}
