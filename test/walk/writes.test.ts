import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpoints, type Endpoint } from '../../src/policy/endpoints.ts';
import type { Reply } from '../support/server.ts';
import { type Callers, type Credential, makeCallers, tellsOfState } from './callers.ts';
import { differenceOf } from './differences.ts';
import { type Answer, expected, type Person } from './oracle.ts';
import { inParallel } from './pool.ts';
import { asksOf, doorOf, nameOf, pathOf, rowsWith, type Sample, statusOf } from './sample.ts';
import { variants, writes } from './samples/writes.ts';
import { buildWorld, type Params, type Target, type World } from './world.ts';

const isWrite = (row: Endpoint): boolean => row.method !== 'GET' && doorOf(row) === 'api';
/** Where a write is tried: the other kinds of project are told apart by the walk over what reads. */
const tried = ['own', 'private', 'public', 'hidden', 'archived'];

interface Cell {
  readonly row: Endpoint;
  readonly sample: Sample;
  readonly target: Target;
  readonly credential: Credential;
}

describe('the walk over everything that writes', () => {
  let world: World;
  let callers: Callers;
  const shared = new Map<string, Promise<Params>>();
  beforeAll(async () => {
    world = await buildWorld();
    callers = await makeCallers(world, 'few pairs');
  });
  afterAll(() => world.server.stop());

  function cellsOf(row: Endpoint, sample: Sample): readonly Cell[] {
    const places = world.targets.filter(({ key }) => tried.includes(key));
    const alike =
      row.from === 'instance' ||
      row.from === 'user' ||
      sample.asks?.every((permission) => /^(?:group:create|runner:write)$/.test(permission));
    return (alike === true ? places.slice(0, 1) : places).flatMap((target) =>
      callers.all.filter((credential) => tells(target, credential)).map((credential) => ({ row, sample, target, credential })),
    );
  }

  function tells({ key }: Target, credential: Credential): boolean {
    return key === 'own' || key === 'private' || tellsOfState(credential, key === 'archived' ? [0, 20, 30, 50] : [0, 30]);
  }

  async function call({ row, sample, target, credential }: Cell, answer: Answer): Promise<Reply> {
    const [person] = credential.caller.people;
    const own = row.from === 'group' ? target.groupId : row.from === 'user' ? target.params['user_id'] : target.id;
    const known = { ...target.params, id: String(own), group: String(target.groupId), project: String(target.id), n: String(world.next()) };
    const fresh = answer === 'ok' && person !== undefined ? await targetOf(row, sample, target, person, credential) : undefined;
    const params = { ...known, ...sample.params, ...fresh };
    const token = fresh?.['private-token'];
    const headers = token === undefined ? credential.headers : { 'private-token': token };
    return world.server.call(row.method, pathOf(row, sample, params), { headers, body: sample.body?.(params) ?? {} });
  }

  /** What is refused changes nothing, so that refusals need nothing of their own, or share it. */
  function targetOf(
    row: Endpoint,
    sample: Sample,
    target: Target,
    person: Person,
    { caller, headers }: Credential,
  ): Promise<Params> | undefined {
    if (sample.pass === undefined || caller.kind === 'user') return sample.fresh?.(world, target, person, headers);
    const key = `${nameOf(row)} ${target.key}`;
    const made = shared.get(key) ?? sample.fresh?.(world, target, person, headers);
    if (made !== undefined) shared.set(key, made);
    return made;
  }

  test('R1 R3 R5 R8 R11 A9 A11 every cell answers what the rules say, and a full pass what its user hears', async () => {
    const byName = new Map(endpoints.map((row) => [nameOf(row), row]));
    const rows = rowsWith(writes, isWrite);
    const more = variants.flatMap(([name, sample]) => {
      const row = byName.get(name);
      return row === undefined ? [] : [[row, sample] as const];
    });
    const cells = [...rows, ...more].flatMap(([row, sample]) => cellsOf(row, sample));
    const wrong: string[] = [];
    const counts = new Map<number, number>();
    const heard = new Map<string, string>();
    const started = performance.now();
    await inParallel(cells, 32, async (cell) => {
      const { row, sample, target, credential } = cell;
      const { caller } = credential;
      const answer = expected(caller, asksOf(row, sample, target, false, caller.kind));
      const right =
        answer === 'ok' && sample.pass !== undefined && caller.kind !== 'user' ? sample.pass.status : statusOf(row, sample, answer, false);
      const { status, text } = await call(cell, answer);
      heard.set(cellName(row, sample, target, credential), `${status} ${plain(text)}`);
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (status !== right)
        wrong.push(`${nameOf(row)} on ${target.key}, ${credential.name}: ${status}, not ${right}: ${text.slice(0, 150)}`);
    });
    let same = 0;
    for (const { row, sample, target, credential } of cells) {
      const twin = callers.twins.find(([user]) => user === credential);
      const own = heard.get(cellName(row, sample, target, credential));
      const pass = twin === undefined ? undefined : heard.get(cellName(row, sample, target, twin[1]));
      if (
        own === undefined ||
        pass === undefined ||
        differenceOf(row, sample) !== undefined ||
        credential.caller.people.some(({ admin }) => admin)
      )
        continue;
      same += 1;
      if (own !== pass) wrong.push(`${nameOf(row)} on ${target.key}: the ${twin?.[1].name ?? ''} hears ${pass}, the user ${own}`);
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const statuses = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
    console.log(
      `the walk, writes: ${rows.length} routes, ${cells.length} cells (${statuses.join(', ')}), ${same} pairs compared, ${seconds} s`,
    );
    expect(wrong).toEqual([]);
  }, 900_000);
});

function cellName(row: Endpoint, sample: Sample, target: Target, { name }: Credential): string {
  return `${nameOf(row)} ${(sample.asks ?? row.permissions).join(' ')} on ${target.key}, ${name}`;
}

/** An answer without what has to differ between two calls: numbers, times, commits, and how the asker is spoken to. */
function plain(text: string): string {
  return text
    .replaceAll(/and (?:You have|w\w+ has) /g, 'and … has ')
    .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)"/g, 'time')
    .replaceAll(/\b[0-9a-f]{8,40}\b/g, 'commit')
    .replaceAll(/\d+/g, 'N');
}
