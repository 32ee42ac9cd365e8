import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isJobpassError, type JobpassError } from '../../../src/base/errors.ts';
import { limits } from '../../../src/base/limits.ts';
import { readManifest } from '../../../src/forge/embedded/oci/manifest.ts';
import { digestOf, imageManifest, imageType, indexType } from './images.ts';

const [config, layer] = [digestOf('config'), digestOf('layer')];
const code = (wanted: JobpassError['code']) => expect.objectContaining({ code: wanted });
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const dockerImage = 'application/vnd.docker.distribution.manifest.v2+json';
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
const part = (change: Readonly<Record<string, unknown>> = {}) => ({ mediaType: 'a/b', digest: layer, size: 1, ...change });

test('image manifests and indexes of both families are read', () => {
  expect(readManifest(imageType, imageManifest(config, [layer]))).toMatchObject({
    blobs: [config, layer],
    manifests: [],
    totalSizeBytes: 6,
  });
  const docker = json({ schemaVersion: 2, mediaType: dockerImage, config: part(), layers: [] });
  expect(readManifest(`${dockerImage}; charset=utf-8`, docker)).toMatchObject({ mediaType: dockerImage, blobs: [layer] });
  for (const type of [indexType, dockerList])
    expect(readManifest(type, json({ schemaVersion: 2, manifests: [part()] }))).toMatchObject({ blobs: [], manifests: [layer] });
});

test('what lies at other addresses need not be here', () => {
  const foreign = part({ mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', digest: digestOf('foreign') });
  const read = readManifest(dockerImage, json({ schemaVersion: 2, config: part(), layers: [foreign] }));
  expect(read.blobs).toEqual([layer]);
});

test('an artifact is of its own type, else of its configuration', () => {
  expect(readManifest(imageType, imageManifest(config, [])).artifactType).toBe('application/vnd.oci.image.config.v1+json');
  expect(readManifest(imageType, imageManifest(config, [], { artifactType: 'a/sbom' })).artifactType).toBe('a/sbom');
  expect(readManifest(indexType, json({ schemaVersion: 2, manifests: [] })).artifactType).toBeNull();
  const subject = { subject: part({ digest: digestOf('subject') }), annotations: { a: 'b' } };
  expect(readManifest(imageType, imageManifest(config, [], subject))).toMatchObject({
    subject: digestOf('subject'),
    annotations: { a: 'b' },
  });
});

test.each([
  ['another media type', 'application/json', imageManifest(config, [])],
  ['schema 1', 'application/vnd.docker.distribution.manifest.v1+prettyjws', json({ schemaVersion: 1 })],
  ['another schemaVersion', imageType, imageManifest(config, [], { schemaVersion: 3 })],
  ['a type that is not the header (CVE-2021-41190)', imageType, imageManifest(config, [], { mediaType: indexType })],
  ['layers and manifests at once (CVE-2021-41190)', imageType, imageManifest(config, [layer], { manifests: [] })],
  ['an image that claims to be an index', indexType, imageManifest(config, [layer], { mediaType: indexType })],
  ['no config', imageType, json({ schemaVersion: 2, layers: [] })],
  ['no layers', imageType, json({ schemaVersion: 2, config: part() })],
  ['layers that are no list', imageType, json({ schemaVersion: 2, config: part(), layers: {} })],
  ['a digest of another form', imageType, json({ schemaVersion: 2, config: part({ digest: 'md5:00' }), layers: [] })],
  ['a digest that is a path', imageType, json({ schemaVersion: 2, config: part({ digest: `sha256:../${'a'.repeat(61)}` }), layers: [] })],
  ['a negative size', imageType, json({ schemaVersion: 2, config: part({ size: -1 }), layers: [] })],
  ['a size that is a text', imageType, json({ schemaVersion: 2, config: part({ size: '1' }), layers: [] })],
  ['sizes that add up to no number', imageType, imageManifest(config, [], { layers: [part({ size: 2 ** 53 - 1 }), part()] })],
  ['an annotation that is no text', imageType, imageManifest(config, [], { annotations: { a: 1 } })],
  ['a subject without digest', imageType, imageManifest(config, [], { subject: {} })],
  ['not UTF-8', imageType, Buffer.from([0x7b, 0xff, 0x7d])],
  ['a byte order mark', imageType, Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), imageManifest(config, [])])],
  ['not JSON', imageType, Buffer.from('{')],
  ['no object', imageType, Buffer.from('[]')],
  ['nothing', imageType, Buffer.alloc(0)],
  ['deep nesting', imageType, Buffer.from(`${'['.repeat(limits.jsonDepth + 1)}${']'.repeat(limits.jsonDepth + 1)}`)],
])('refuses %s', (_what, type, bytes) => {
  expect(() => readManifest(type, bytes)).toThrow(code('invalid_input'));
});

test('limits: bytes, and what one names', () => {
  const big = imageManifest(config, [], { padding: 'x'.repeat(limits.manifestBytes) });
  expect(() => readManifest(imageType, big)).toThrow(code('too_large'));
  const many = imageManifest(
    config,
    Array.from({ length: limits.manifestReferences + 1 }, () => layer),
  );
  expect(() => readManifest(imageType, many)).toThrow(code('too_large'));
});

test('whatever comes in is read, or refused with a reason, and never changed', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.string(),
        fc.json().map((inner) => imageManifest(config, [layer], { inner }).toString()),
      ),
      (text) => {
        const bytes = Buffer.from(text);
        try {
          expect(Buffer.from(readManifest(imageType, bytes).content).equals(bytes)).toBe(true);
        } catch (error) {
          expect(isJobpassError(error, 'invalid_input')).toBe(true);
        }
      },
    ),
    { numRuns: 300 },
  );
});
