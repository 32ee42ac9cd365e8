import type { Readable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';
import type { Oid, RefName } from '../../base/ids.ts';

/** One line of a push. @see gitprotocol-pack(5), "Reference Update Request" */
export interface PushCommand {
  readonly oldOid: Oid;
  readonly newOid: Oid;
  readonly ref: RefName;
}

export interface PushPrefix {
  readonly commands: readonly PushCommand[];
  readonly options: readonly string[];
  /** What the client's git can do. */
  readonly capabilities: readonly string[];
  /** The whole body again, the commands with `ci.skip` among their options where `skipCi` was asked for. */
  body(skipCi: boolean): AsyncGenerator<Buffer>;
}

const prefixBytes = 4 * 1024 * 1024;
const shallowShape = /^shallow [0-9a-f]{40}$/;
const commandShape = /^([0-9a-f]{40}) ([0-9a-f]{40}) (refs\/[^\0 ]+)(?:\0(.*))?$/s;

/**
 * Reads what stands before the pack of a push, and no more: the refs to move, and the push options. A shallow clone, which most jobs have, says first where its
 * history ends; whether that will do is for the forge's git to say.
 * @throws invalid_input, too_large, unsupported (signed pushes)
 */
export async function readPushPrefix(body: Readable): Promise<PushPrefix> {
  const source = body.iterator({ destroyOnReturn: false });
  const reader = new PktReader(source);
  const shallow: string[] = [];
  const commands: PushCommand[] = [];
  let capabilities: string | undefined;
  for (let line = await reader.line(); line !== 'flush'; line = await reader.line()) {
    const text = line.toString('utf8').replace(/\n$/, '');
    if (commands.length === 0 && shallowShape.test(text)) {
      shallow.push(text);
      continue;
    }
    const match = commandShape.exec(text);
    if (match === null) throw new JobpassError('unsupported', 'Signed pushes are not carried with a pass.');
    const [, oldOid = '', newOid = '', ref = '', caps] = match;
    if ((commands.length === 0) !== (caps !== undefined)) throw malformed();
    // git also splits them at tabs, ends them at a zero byte, and takes `push-options=x` for push-options (A62).
    if (caps !== undefined && !/^[ -~]*$/.test(caps)) throw malformed();
    capabilities ??= caps;
    commands.push({ oldOid: oldOid as Oid, newOid: newOid as Oid, ref: ref as RefName });
  }
  const words = (capabilities ?? '').split(' ').filter((word) => word !== '');
  if (words.some((word) => word.startsWith('push-options='))) throw malformed();
  const options: string[] = [];
  if (words.includes('push-options'))
    for (let line = await reader.line(); line !== 'flush'; line = await reader.line())
      options.push(line.toString('utf8').replace(/\n$/, ''));
  return {
    commands,
    options,
    capabilities: words,
    async *body(skipCi) {
      for (const line of shallow) yield pkt(line);
      if (commands.length === 0) {
        // git asks with an empty push whether its credential will do.
        yield flush;
        return yield* reader.rest();
      }
      const said = skipCi && !options.includes('ci.skip') ? [...options, 'ci.skip'] : options;
      const caps = said.length > 0 && !words.includes('push-options') ? [...words, 'push-options'] : words;
      for (const [index, { oldOid, newOid, ref }] of commands.entries())
        yield pkt(`${oldOid} ${newOid} ${ref}${index === 0 ? `\0 ${caps.join(' ')}` : ''}`);
      yield flush;
      if (caps.includes('push-options')) {
        for (const option of said) yield pkt(option);
        yield flush;
      }
      yield* reader.rest();
    },
  };
}

const flush = Buffer.from('0000');

function pkt(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes]);
}

function malformed(): JobpassError {
  return new JobpassError('invalid_input', 'The push is malformed.');
}

/** @see gitprotocol-common(5), "pkt-line Format" */
class PktReader {
  readonly #source: AsyncIterator<unknown>;
  #held: Buffer = Buffer.alloc(0);
  #read = 0;

  constructor(source: AsyncIterator<unknown>) {
    this.#source = source;
  }

  async line(): Promise<Buffer | 'flush'> {
    const head = (await this.#take(4)).toString('latin1');
    if (!/^[0-9a-f]{4}$/.test(head)) throw malformed();
    const length = Number.parseInt(head, 16);
    if (length === 0) return 'flush';
    if (length < 5) throw malformed();
    return this.#take(length - 4);
  }

  /** What was not read as lines. */
  async *rest(): AsyncGenerator<Buffer> {
    if (this.#held.length > 0) yield this.#held;
    this.#held = Buffer.alloc(0);
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next()) yield bytesOf(next.value);
  }

  async #take(count: number): Promise<Buffer> {
    while (this.#held.length < count) {
      const next = await this.#source.next();
      if (next.done === true) throw malformed();
      const chunk = bytesOf(next.value);
      this.#read += chunk.length;
      this.#held = Buffer.concat([this.#held, chunk]);
    }
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    // What was read ahead of the last line belongs to the pack, and is bounded by one chunk.
    if (this.#read - this.#held.length > prefixBytes) throw new JobpassError('too_large', 'The push names too many refs.');
    return taken;
  }
}

function bytesOf(chunk: unknown): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk;
  throw malformed();
}
