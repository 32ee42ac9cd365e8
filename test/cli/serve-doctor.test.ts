import { expect, test } from 'vitest';
import { serve } from '../../src/cli/serve.ts';

async function doctor(...args: readonly string[]) {
  let text = '';
  const io = { out: (part: string) => void (text += part), terminal: false, stopped: () => new Promise<string>(() => {}) };
  const code = await serve.run(['doctor', ...args, '--json'], io);
  const { findings } = JSON.parse(text) as { findings: { level: string; what: string; says: string }[] };
  return { code, of: (what: string) => findings.find((finding) => finding.what === what) };
}

test('R3 `principals: starter` is warned of, with what it gives up', async () => {
  const plain = await doctor();
  expect([plain.code, plain.of('principals')?.level, plain.of('transport')?.level]).toEqual([0, 'ok', 'ok']);
  const starter = await doctor('--principals', 'starter');
  expect([starter.code, starter.of('principals')]).toEqual([
    0,
    expect.objectContaining({ level: 'warning', says: expect.stringContaining("borrows all of that person's rights") }),
  ]);
});

test('R16 an address without TLS is a problem, plain HTTP by choice a warning', async () => {
  const open = await doctor('--listen', '0.0.0.0:80');
  expect([open.code, open.of('transport')?.level]).toEqual([1, 'problem']);
  const lab = await doctor('--listen', '0.0.0.0:80', '--allow-plain-http');
  expect([lab.code, lab.of('transport')?.level]).toEqual([0, 'warning']);
  const front = await doctor('--external-url', 'http://forge.example');
  expect(front.of('transport')?.level).toBe('warning');
});
