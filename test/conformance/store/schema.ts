import { expect, test } from 'vitest';
import { openStore } from '../../../src/store/open.ts';
import type { TestEngine } from './engine.ts';
import { startChild } from './processes.ts';
import { addUser } from './seed.ts';

export function schemaCases(engine: TestEngine): void {
  test('a store that is opened again keeps its rows', async () => {
    const url = await engine.fresh();
    const first = await openStore(url);
    const user = await addUser(first);
    await first.close();
    const second = await openStore(url);
    expect(await second.forge.users.byId(null, user.id)).toEqual(user);
    expect(second.engine).toBe(engine.name);
    await second.close();
  });

  test('several processes that start at once make the schema once', async () => {
    const url = await engine.fresh();
    const children = [startChild('open', url), startChild('open', url), startChild('open', url)];
    expect(await Promise.all(children.map((child) => child.ended))).toEqual([0, 0, 0]);
    const store = await openStore(url);
    expect(await store.forge.users.count(null)).toBe(0);
    await store.close();
  });

  // In one process the starts really overlap; SQLite's lock waits in the thread, so that there only processes can race.
  if (engine.name === 'postgres') {
    test('starts that overlap make the schema once', async () => {
      const url = await engine.fresh();
      const stores = await Promise.all(Array.from({ length: 6 }, () => openStore(url)));
      await Promise.all(stores.map((store) => store.close()));
    });
  }

  test('R13 a schema that is newer than the program is refused, and left as it is', async () => {
    const url = await engine.fresh();
    await (await openStore(url)).close();
    await engine.execute(url, 'insert into "schemaVersion" ("version") values (999)');
    await expect(openStore(url)).rejects.toThrow(/newer jobpass.*schema 999/);
    await engine.execute(url, 'delete from "schemaVersion" where "version" = 999');
    await (await openStore(url)).close();
  });
}
