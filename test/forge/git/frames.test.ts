import fc from 'fast-check';
import { expect, test } from 'vitest';
import { frame, type FrameKind, frameReader } from '../../../src/forge/embedded/git/frames.ts';
import { hookReader, type HookQuestion } from '../../../src/forge/embedded/git/hooks.ts';

const kinds: readonly FrameKind[] = ['start', 'input', 'input_end', 'output', 'output_end', 'words', 'exit', 'hook_ask', 'hook_answer'];

test('frames come back as they went in, however the stream is cut', () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(...kinds), fc.uint8Array({ maxLength: 300 })), { maxLength: 20 });
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 50 }), (sent, step) => {
      const bytes = Buffer.concat(sent.map(([kind, data]) => frame(kind, Buffer.from(data))));
      const got: [FrameKind, string][] = [];
      const read = frameReader((kind, data) => got.push([kind, data.toString('hex')]));
      for (let at = 0; at < bytes.length; at += step) read(bytes.subarray(at, at + step));
      expect(got).toEqual(sent.map(([kind, data]) => [kind, Buffer.from(data).toString('hex')]));
    }),
  );
});

test('what is no frame is refused', () => {
  const read = frameReader(() => undefined);
  expect(() => read(Buffer.from([200, 0, 0, 0, 0]))).toThrow();
  expect(() => frameReader(() => undefined)(Buffer.from([1, 255, 255, 255, 255]))).toThrow();
});

test('a hook that names more refs than the limit does not fill the memory', () => {
  const questions: HookQuestion[] = [];
  const read = hookReader((question) => questions.push(question));
  const answer = (): void => undefined;
  read('pre-receive none /x', answer);
  for (let index = 0; index < 10_000; index += 1) read(`a b refs/heads/${index}`, answer);
  read('.', answer);
  expect(questions[0]?.updates).toHaveLength(2001);
});
