import { hash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Clock } from '../../../src/base/clock.ts';
import { type Digest, digestFrom } from '../../../src/base/digest.ts';
import {
  type AuditId,
  type EpochMillis,
  id,
  type JobId,
  millis,
  type PassId,
  type PipelineId,
  type ProjectId,
} from '../../../src/base/ids.ts';
import type { UserId } from '../../../src/base/ids.ts';
import { makeRegistryForge, type RegistryDeps } from '../../../src/forge/embedded/oci/registry-forge.ts';
import type { ImagePlace, RegistryForge } from '../../../src/forge/registry.ts';
import { type Grant, makeGrant, type Permission } from '../../../src/pass/grant.ts';
import type { MaybeTx } from '../../../src/ports/tx.ts';
import { fileContent } from '../../../src/store/blobs/content.ts';
import { openStore, type Store } from '../../../src/store/open.ts';

export const project = id<ProjectId>(7);
export const other = id<ProjectId>(8);
export const place: ImagePlace = { projectId: project, name: '' };

export interface TestImages {
  readonly folder: string;
  readonly store: Store;
  readonly deps: RegistryDeps;
  readonly forge: RegistryForge;
  readonly clock: { now: EpochMillis };
  close(): Promise<void>;
}

/** The forge's registry on real files and a real store, in a folder of its own. */
export async function startImages(url?: string): Promise<TestImages> {
  const folder = await mkdtemp(join(tmpdir(), 'jobpass-test-images-'));
  const images = await openImages(folder, url);
  return {
    ...images,
    async close() {
      await images.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The same, in a folder that may have been used before. */
export async function openImages(folder: string, url = `sqlite:${join(folder, 'store.db')}`): Promise<TestImages> {
  const store = await openStore(url);
  const clock = { now: millis(Date.now()) };
  const time: Clock = { now: () => clock.now, monotonic: () => clock.now };
  const deps: RegistryDeps = {
    leaks: { revoke: () => Promise.resolve(undefined), revokeAll: () => Promise.resolve(0) },
    images: store.forge.images,
    content: await fileContent(join(folder, 'images')),
    transactor: store.transactor,
    clock: time,
  };
  const close = async (): Promise<void> => {
    await deps.content.close();
    await store.close();
  };
  return { folder, store, deps, clock, forge: makeRegistryForge(deps), close };
}

export interface GrantOptions {
  readonly accesses?: readonly (readonly [Permission, ProjectId])[];
  readonly signal?: AbortSignal;
  readonly confirm?: (tx: MaybeTx) => Promise<void>;
}

const everything = ['container:read', 'container:push', 'container:delete', 'container:admin'] as const;

/** A pass that may do everything in `project`, unless told otherwise. */
export function grantFor({ accesses = everything.map((one) => [one, project] as const), signal, confirm }: GrantOptions = {}): Grant {
  return makeGrant({
    identity: {
      kind: 'pass',
      passId: id<PassId>(5),
      passKind: 'full',
      jobId: id<JobId>(6),
      pipelineId: id<PipelineId>(8),
      projectId: project,
      sha: '0'.repeat(40),
      chainDepth: 0,
      ownProjectOnly: false,
      principals: [id<UserId>(1)],
    },
    accesses: accesses.map(([permission, wanted]) => ({ permission, resource: { kind: 'project', id: wanted } })),
    auditId: id<AuditId>(1),
    requestId: 'test',
    filter: null,
    signal: signal ?? new AbortController().signal,
    confirm: confirm ?? (async () => undefined),
  });
}

export const grantOn = (wanted: ProjectId): Grant => grantFor({ accesses: everything.map((one) => [one, wanted]) });

export function digestOf(bytes: Buffer | string): Digest {
  return digestFrom('sha256', hash('sha256', bytes, 'hex'));
}

/** Stores a blob. @returns its digest */
export async function putBlob(forge: RegistryForge, bytes: Buffer | string, where: ImagePlace = place): Promise<Digest> {
  const digest = digestOf(bytes);
  await forge.putBlob(grantOn(where.projectId), where, digest, Readable.from([Buffer.from(bytes)]));
  return digest;
}

export const imageType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';

export function imageManifest(config: Digest, layers: readonly Digest[], more: Readonly<Record<string, unknown>> = {}): Buffer {
  const part = (digest: Digest) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: 3 });
  const parts = { config: { ...part(config), mediaType: 'application/vnd.oci.image.config.v1+json' }, layers: layers.map(part) };
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: imageType, ...parts, ...more }));
}

export async function bytesOf(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
