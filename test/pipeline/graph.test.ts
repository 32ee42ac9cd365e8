import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkGraph, type GraphJob } from '../../src/pipeline/graph.ts';

const stages = ['build', 'test', 'deploy'];
const job = (name: string, stage: string, needs?: readonly string[], more: Partial<GraphJob> = {}): GraphJob => ({
  name,
  stage,
  place: { line: 1 },
  ...(needs === undefined ? {} : { needs: needs.map((one) => ({ job: one, optional: false })) }),
  ...more,
});
const messages = (...jobs: GraphJob[]): string[] => checkGraph(stages, jobs).map((error) => error.message);

test('takes needs in an earlier and in the same stage', () => {
  expect(messages(job('a', 'build'), job('b', 'test', ['a']), job('c', 'test', ['b', 'a'], { dependencies: ['a'] }))).toEqual([]);
});

test('refuses needs that are missing or later', () => {
  expect(messages(job('a', 'build', ['z', 'b']), job('b', 'test'))).toEqual([
    'job `a` needs `z`, which does not exist',
    'job `a` needs `b`, which runs in a later stage',
  ]);
  expect(messages(job('a', 'build', [], { needs: [{ job: 'z', optional: true }] }))).toEqual([]);
});

test('dependencies are earlier, or needed', () => {
  expect(messages(job('a', 'test'), job('b', 'test', undefined, { dependencies: ['a', 'z'] }))).toEqual([
    'job `b` depends on `a`, which is not in an earlier stage',
    'job `b` depends on `z`, which does not exist',
  ]);
  expect(messages(job('a', 'build'), job('b', 'test', [], { dependencies: ['a'] }))).toEqual([
    'job `b` depends on `a`, which is not among its `needs`',
  ]);
});

test('names the circle, and only it', () => {
  expect(messages(job('x', 'test', ['a']), job('a', 'test', ['b']), job('b', 'test', ['a']), job('y', 'test', ['b']))).toEqual([
    '`needs` goes round in a circle: a → b → a',
  ]);
  expect(messages(job('a', 'test', ['a']))).toEqual(['`needs` goes round in a circle: a → a']);
});

test('finds a circle exactly where jobs remain that wait for each other', () => {
  const graphs = fc
    .integer({ min: 1, max: 8 })
    .chain((size) => fc.array(fc.uniqueArray(fc.nat(size - 1), { maxLength: 3 }), { minLength: size, maxLength: size }));
  fc.assert(
    fc.property(graphs, (edges) => {
      const waiting = new Set(edges.keys());
      for (let before = -1; before !== waiting.size;) {
        before = waiting.size;
        for (const [index, needs] of edges.entries()) if (!needs.some((need) => waiting.has(need))) waiting.delete(index);
      }
      const found = messages(
        ...edges.map((needs, index) =>
          job(
            `j${index}`,
            'test',
            needs.map((need) => `j${need}`),
          ),
        ),
      );
      expect(found.length).toBe(waiting.size === 0 ? 0 : 1);
      const circle =
        found[0]
          ?.split(': ')[1]
          ?.split(' → ')
          .map((name) => Number(name.slice(1))) ?? [];
      for (const [at, next] of circle.slice(1).entries()) expect(edges[circle[at] ?? -1]).toContain(next);
    }),
  );
});
