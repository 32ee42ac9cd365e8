import { expect, test } from 'vitest';
import { id, type UserId } from '../../../src/base/ids.ts';
import type { NewVariable, VariableOwner } from '../../../src/ports/variables.ts';
import { addGroup, addProject, addUser, firstPage, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function variableCases(bench: Bench): void {
  const conflict = expect.objectContaining({ code: 'conflict' });
  const variable = (key: string, change: Partial<NewVariable> = {}): NewVariable => ({
    key,
    sealed: 'sealed',
    sizeBytes: 6,
    type: 'env_var',
    protected: false,
    masked: false,
    hidden: false,
    raw: false,
    environmentScope: '*',
    description: null,
    createdAt: now,
    setBy: null,
    ...change,
  });
  const insert = (owner: VariableOwner, made: NewVariable) =>
    bench.store.transactor.write((tx) => bench.store.variables.insert(tx, owner, made));

  test('a key stands once for each scope of an owner, and keys differ by case', async () => {
    const { variables, transactor } = bench.store;
    const group = await addGroup(bench.store);
    const owner = { kind: 'group', id: group.id } as const;
    const one = await insert(
      owner,
      variable('KEY', { setBy: id<UserId>(7), description: 'what', protected: true, raw: true, type: 'file' }),
    );
    expect(one).toMatchObject({ ...variable('KEY'), setBy: 7, description: 'what', protected: true, raw: true, type: 'file', owner });
    await expect(insert(owner, variable('KEY'))).rejects.toThrow(conflict);
    const two = await insert(owner, variable('KEY', { environmentScope: 'live' }));
    await insert(owner, variable('key'));
    expect(await variables.byKey(null, owner, 'KEY')).toEqual([one, two]);
    expect(await variables.tally(null, owner)).toEqual({ count: 3, bytes: 18 });
    expect((await variables.list(null, owner, { page: 2, perPage: 2 })).rows.map(({ key }) => key)).toEqual(['key']);
    await expect(transactor.write((tx) => variables.change(tx, two.id, { environmentScope: '*' }))).rejects.toThrow(conflict);
    expect(await transactor.write((tx) => variables.change(tx, two.id, { masked: true, sealed: 'other', sizeBytes: 1 }))).toEqual({
      ...two,
      masked: true,
      sealed: 'other',
      sizeBytes: 1,
    });
    await transactor.write((tx) => variables.remove(tx, one.id));
    expect(await variables.byKey(null, owner, 'KEY')).toHaveLength(1);
    await expect(transactor.write((tx) => variables.change(tx, one.id, { masked: true }))).rejects.toMatchObject({ code: 'not_found' });
  });

  test("what reaches a project: the instance's, its groups' from outside in, its own; and nobody else's", async () => {
    const { variables, transactor, forge } = bench.store;
    const user = await addUser(bench.store);
    const outer = await addGroup(bench.store);
    const inner = await addGroup(bench.store, outer);
    const beside = await addGroup(bench.store, outer);
    const project = await addProject(bench.store, inner, user.id);
    const cousin = await addProject(bench.store, beside, user.id);
    await insert({ kind: 'project', id: project.id }, variable('P'));
    await insert({ kind: 'project', id: cousin.id }, variable('C'));
    for (const [group, key] of [
      [inner, 'INNER'],
      [outer, 'OUTER'],
      [beside, 'BESIDE'],
    ] as const)
      await insert({ kind: 'group', id: group.id }, variable(key));
    await insert({ kind: 'instance' }, variable('I'));
    const reaching = async (id: typeof project.id) => (await variables.reaching(null, id)).map(({ key }) => key);
    expect(await reaching(project.id)).toEqual(['I', 'OUTER', 'INNER', 'P']);
    expect(await reaching(cousin.id)).toEqual(['I', 'OUTER', 'BESIDE', 'C']);
    const personal = await addProject(bench.store, { id: user.namespaceId }, user.id);
    expect(await reaching(personal.id)).toEqual(['I']);
    await transactor.write((tx) => forge.projects.remove(tx, project.id));
    expect((await variables.list(null, { kind: 'project', id: project.id }, firstPage)).total).toBe(0);
  });

  test('R13 a flag that is not plainly off keeps the value back', async () => {
    const group = await addGroup(bench.store);
    const { id } = await insert({ kind: 'group', id: group.id }, variable('ODD'));
    await bench.engine.execute(
      bench.url,
      `update "ciVariables" set "protected" = 2, "masked" = 2, "hidden" = 2, "raw" = 2 where "id" = ${id}`,
    );
    const [read] = await bench.store.variables.byKey(null, { kind: 'group', id: group.id }, 'ODD');
    expect(read).toMatchObject({ protected: true, masked: true, hidden: true, raw: false });
  });
}
