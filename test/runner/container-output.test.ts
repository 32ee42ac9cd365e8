import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { hear } from '../../src/runner/executors/docker/container-output.ts';

/** As the engine frames it. */
function frame(text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

function heard(patienceMs: number) {
  const output = new PassThrough();
  let text = '';
  const rest = hear(output, (bytes) => (text += bytes.toString()), patienceMs);
  return { output, rest, text: () => text };
}

test('what an engine says after a container has ended is heard to its end', async () => {
  const { output, rest, text } = heard(60_000);
  output.write(frame('before '));
  const over = rest();
  for (const word of ['after ', 'and ', 'later']) {
    output.write(frame(word));
    await new Promise(setImmediate);
  }
  output.end();
  await over;
  expect(text()).toBe('before after and later');
});

test('an engine that keeps the stream open after a container has ended is waited for no longer than it says something', async () => {
  const { output, rest, text } = heard(20);
  output.write(frame('all'));
  await rest();
  expect([text(), output.destroyed]).toEqual(['all', true]);
});

test('each word prolongs the wait', async () => {
  const { output, rest, text } = heard(200);
  const over = rest();
  const said = setInterval(() => output.write(frame('.')), 50);
  // Ten words take longer than the wait, were it only for the first.
  while (text().length < 10) await Promise.race([over, new Promise((resolve) => output.once('data', resolve))]);
  clearInterval(said);
  expect(output.destroyed).toBe(false);
  output.end();
  await over;
});
