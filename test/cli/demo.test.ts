import { expect, test } from 'vitest';
import { runDemo } from '../../src/cli/demo/demo.ts';

interface Told {
  readonly ok: boolean;
  readonly left_out: string | null;
  readonly reached: readonly { readonly what: string; readonly permission: string; readonly pass: string; readonly decision: string }[];
  readonly jobs: readonly { readonly name: string; readonly status: string; readonly exposure: string }[];
  readonly after: { readonly after: number; readonly gitAfter: number; readonly registryAfter: number };
}

async function demo(): Promise<Told> {
  let text = '';
  const code = await runDemo({
    folder: undefined,
    exit: true,
    json: true,
    engine: null,
    out: (part) => (text += part),
    interrupted: new Promise(() => undefined),
  });
  expect(code).toBe(0);
  return JSON.parse(text) as Told;
}

const dead = { after: 401, gitAfter: 401, registryAfter: 401 };
const reached = (told: Told) =>
  told.reached.filter(({ decision }) => decision === 'allow').map((one) => `${one.pass} ${one.permission} ${one.what}`);

test('the demo without a container engine says what it leaves out, and does the rest (with one: the packed package)', async () => {
  const told = await demo();
  expect(told.left_out).toContain('--no-engine');
  expect(told.after).toMatchObject(dead);
  expect(told.jobs.map(({ name, exposure }) => `${name}: ${exposure}`)).toEqual(['build: withhold', 'publish: variable']);
  expect(reached(told)).toEqual(expect.arrayContaining(['fetch code:download demo-libs/greeting', 'full code:push demo-docs/site']));
});
