import type { Readable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';

const lineBytes = 1024 * 1024;

/** One JSON value a line, as the engine tells of its progress. What is not JSON is skipped. @throws too_large */
export async function* jsonLines(stream: Readable): AsyncGenerator {
  let rest = '';
  for await (const chunk of stream) {
    rest += String(chunk);
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineBytes) throw new JobpassError('too_large', 'The container engine says too much at once.');
    for (const line of lines) yield* parsed(line);
  }
  yield* parsed(rest);
}

function* parsed(line: string): Generator {
  if (line.trim() === '') return;
  try {
    yield JSON.parse(line);
  } catch {
    // Progress is not worth a failure.
  }
}
