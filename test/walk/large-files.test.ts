import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Endpoint, endpoints } from '../../src/policy/endpoints.ts';
import { type Callers, makeCallers, tellsOfState } from './callers.ts';
import { differenceOf, isOwnSource } from './differences.ts';
import { expected } from './oracle.ts';
import { inParallel } from './pool.ts';
import { asksOf, doorOf, nameOf, pathOf, rowsWith, type Sample, statusOf } from './sample.ts';
import { lfs, lfsVariants, pushLarge } from './samples/lfs.ts';
import { pushImage, registry } from './samples/registry.ts';
import { buildWorld, type Target, type World } from './world.ts';

const isLarge = (row: Endpoint): boolean => doorOf(row) === 'registry' || doorOf(row) === 'lfs';

describe('the walk over images and large files', () => {
  let world: World;
  let callers: Callers;
  let spots: readonly (Target & { readonly gone: boolean })[];
  beforeAll(async () => {
    world = await buildWorld();
    callers = await makeCallers(world, 'few pairs');
    const { server, targets, oldPath } = world;
    const archived = targets.find(({ key }) => key === 'archived');
    await server.must('POST', `/api/v4/projects/${String(archived?.id)}/unarchive`);
    for (const { path } of targets) {
      await pushImage(server, path);
      await pushLarge(server, path);
    }
    await server.must('POST', `/api/v4/projects/${String(archived?.id)}/archive`);
    // Large files are served by an old path, too; images are not (GitLab).
    const renamed = targets.filter(({ key }) => key === 'renamed').map((target) => ({ ...target, path: oldPath, gone: true }));
    spots = [...targets.map((target) => ({ ...target, gone: false })), ...renamed];
  });
  afterAll(() => world.server.stop());

  const spotsOf = (row: Endpoint) => (row.from === 'instance' ? spots.slice(0, 1) : spots);
  const cellsOf = (row: Endpoint, sample: Sample) =>
    spotsOf(row).flatMap((spot) =>
      callers.all
        .filter(
          (credential) =>
            ['own', 'private'].includes(spot.key) || tellsOfState(credential, [0, 20, 30, 50]) || credential.name.startsWith('fetch'),
        )
        .map((credential) => ({ row, sample, spot, credential })),
    );

  test('R1 R3 R8 R11 A14 A40 every cell answers what the rules say, and a full pass what its user hears', async () => {
    const more = lfsVariants.flatMap(([name, sample]) =>
      endpoints.filter((row) => nameOf(row) === name).map((row) => [row, sample] as const),
    );
    const rows = [...rowsWith({ ...registry, ...lfs }, isLarge), ...more];
    const wrong: string[] = [];
    const heard = new Map<string, string>();
    const cells = rows.flatMap(([row, sample]) => cellsOf(row, sample));
    const started = performance.now();
    await inParallel(cells, 32, async ({ row, sample, spot, credential }) => {
      const { caller, basic } = credential;
      const answer = expected(caller, asksOf(row, sample, spot, spot.gone && doorOf(row) === 'registry'));
      const [person] = caller.people;
      const fresh = answer === 'ok' && person !== undefined ? await sample.fresh?.(world, spot, person, basic) : undefined;
      const params = { '*': spot.path, n: String(world.next()), ...sample.params, ...fresh };
      const type: Record<string, string> = sample.raw === undefined ? {} : { 'content-type': sample.raw.type };
      const reply = await world.server.call(row.method, pathOf(row, sample, params), {
        headers: { ...basic, ...type },
        ...(sample.raw === undefined ? (sample.body === undefined ? {} : { body: sample.body(params) }) : { raw: sample.raw.text }),
      });
      const right = statusOf(row, sample, answer, caller.kind === 'none');
      const cell = cellOf(row, sample, spot.path);
      heard.set(`${cell}, ${credential.name}`, `${reply.status} ${/"code":"\w+"/.exec(reply.text)?.[0] ?? ''}`);
      if (reply.status !== right) wrong.push(`${cell}, ${credential.name}: ${reply.status}, not ${right}: ${reply.text.slice(0, 150)}`);
    });
    let same = 0;
    for (const [row, sample] of rows)
      for (const spot of spotsOf(row))
        for (const [user, full] of callers.twins) {
          const [one, two] = [user, full].map(({ name }) => heard.get(`${cellOf(row, sample, spot.path)}, ${name}`));
          if (
            one === undefined ||
            differenceOf(row, sample) !== undefined ||
            isOwnSource(row, sample, spot) ||
            user.caller.people.some(({ admin }) => admin)
          )
            continue;
          same += 1;
          if (one !== two) wrong.push(`${cellOf(row, sample, spot.path)}: ${full.name} hears ${String(two)}, the user ${one}`);
        }
    console.log(
      `the walk, images and large files: ${rows.length} routes, ${cells.length} cells, ${same} pairs compared, ${((performance.now() - started) / 1000).toFixed(1)} s`,
    );
    expect(wrong).toEqual([]);
  }, 900_000);

  test('R9 a registry token reaches what its credential reaches, and nothing else', async () => {
    const wrong: string[] = [];
    const rows = rowsWith(registry, (row) => /^(?:GET|PUT) \/v2\/\*\/manifests/.test(nameOf(row)));
    for (const spot of spots)
      await inParallel(callers.all, 16, async (credential) => {
        const { server } = world;
        const query = `service=container_registry&scope=repository:${spot.path}:pull,push,delete`;
        const { body } = await server.call('GET', `/jwt/auth?${query}`, { headers: credential.basic });
        for (const [row, sample] of rows) {
          const may = expected(credential.caller, asksOf(row, sample, spot, spot.gone)) === 'ok';
          const { status } = await server.call(row.method, pathOf(row, sample, { '*': spot.path, ...sample.params }), {
            headers: { authorization: `Bearer ${String(body['token'])}`, 'content-type': sample.raw?.type ?? 'text/plain' },
            ...(sample.raw === undefined ? {} : { raw: sample.raw.text }),
          });
          if (may !== status < 300) wrong.push(`${nameOf(row)} on ${spot.path}, ${credential.name}: ${status}`);
        }
      });
    expect(wrong).toEqual([]);
  }, 120_000);
});

function cellOf(row: Endpoint, sample: Sample, path: string): string {
  return `${nameOf(row)} ${(sample.asks ?? row.permissions).join(' ')} on ${path}`;
}
