import { createHash } from 'node:crypto';
import type { TestServer } from '../../support/server.ts';
import type { Person } from '../oracle.ts';
import type { Sample, Samples } from '../sample.ts';
import type { Params, Target, World } from '../world.ts';

const L = '/*.git/info/lfs';
const content = 'a large file';
const size = String(content.length);
const oid = createHash('sha256').update(content).digest('hex');
const object = { oid, size: content.length };
const bytes: Sample['raw'] = { type: 'application/octet-stream', text: content };

/** The one large file of a project. */
export async function pushLarge(server: TestServer, path: string): Promise<void> {
  const reply = await server.call('PUT', `/${path}.git/gitlab-lfs/objects/${oid}/${size}`, {
    headers: { authorization: `Bearer ${server.root}`, 'content-type': 'application/octet-stream' },
    raw: content,
  });
  if (reply.status !== 200) throw new Error(reply.text);
}

type Headers = Readonly<Record<string, string>>;

const lockAs =
  (whose: (world: World, own: Headers) => Headers) =>
  async (world: World, target: Target, _person: Person, own: Headers): Promise<Params> => {
    const { server, next } = world;
    const made = await server.call('POST', `/${target.path}.git/info/lfs/locks`, {
      headers: whose(world, own),
      body: { path: `fresh-${next()}` },
    });
    const { lock } = JSON.parse(made.text) as { readonly lock: { readonly id: string } };
    return { id: lock.id };
  };

/** Git LFS. */
export const lfs: Samples = {
  [`POST ${L}/objects/batch`]: { ok: 200, body: () => ({ operation: 'download', objects: [object] }) },
  [`POST ${L}/objects/verify`]: { ok: 200, body: () => object },
  'GET /*.git/gitlab-lfs/objects/:oid': { params: { oid } },
  'PUT /*.git/gitlab-lfs/objects/:oid/:size': { params: { oid, size }, raw: bytes },
  [`GET ${L}/locks`]: {},
  [`POST ${L}/locks`]: { body: ({ n = '' }) => ({ path: `fresh-${n}` }) },
  [`POST ${L}/locks/verify`]: { ok: 200, body: () => ({}) },
  [`POST ${L}/locks/:id/unlock`]: { ok: 200, params: { id: '1' }, body: () => ({}), fresh: lockAs((_world, own) => own) },
};

/** The same rows, where the body asks for more. */
export const lfsVariants: readonly (readonly [string, Sample])[] = [
  [
    `POST ${L}/objects/batch`,
    {
      ok: 200,
      asks: ['code:download', 'code:push'],
      body: () => ({ operation: 'upload', objects: [{ oid: oid.replaceAll('a', 'b'), size: 1 }] }),
    },
  ],
  [
    `POST ${L}/locks/:id/unlock`,
    {
      ok: 200,
      asks: ['code:push', 'lfs_lock:force'],
      params: { id: '1' },
      body: () => ({ force: true }),
      fresh: lockAs(({ server }) => ({ authorization: `Bearer ${server.root}` })),
    },
  ],
];
