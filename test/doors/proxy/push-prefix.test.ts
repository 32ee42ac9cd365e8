import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPushPrefix } from '../../../src/doors/proxy/push-prefix.ts';

const pkt = (text: string): Buffer => Buffer.from((Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text);
const flush = Buffer.from('0000');
const oid = (digit: string): string => digit.repeat(40);

async function bytes(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

function inPieces(whole: Buffer, sizes: readonly number[]): Readable {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const size of sizes) pieces.push(whole.subarray(at, (at += size)));
  pieces.push(whole.subarray(at));
  return Readable.from(pieces.filter((piece) => piece.length > 0));
}

describe('what stands before the pack of a push', () => {
  test('R5 a push gains ci.skip, and stays the same otherwise, in whatever pieces it comes', async () => {
    const command = fc.record({
      old: fc.constantFrom(oid('0'), oid('1')),
      next: fc.constantFrom(oid('2'), oid('0')),
      ref: fc.constantFrom('refs/heads/main', 'refs/heads/föö/bar', 'refs/tags/v1'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { minLength: 1, maxLength: 5 }),
        fc.array(fc.constantFrom(oid('3'), oid('4')), { maxLength: 2 }),
        fc.boolean(),
        fc.array(fc.constantFrom('ci.skip', 'ci.variable=A=b', 'merge_request.create'), { maxLength: 3 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 }),
        async (commands, ends, negotiated, options, pack, sizes) => {
          const caps = ` report-status-v2 side-band-64k${negotiated ? ' push-options' : ''} agent=git/2.39`;
          const head = commands.map(({ old, next, ref }, index) => pkt(`${old} ${next} ${ref}${index === 0 ? `\0${caps}` : ''}`));
          const said = negotiated ? [...options.map(pkt), flush] : [];
          const shallow = Buffer.concat(ends.map((end) => pkt(`shallow ${end}\n`)));
          const whole = Buffer.concat([shallow, ...head, flush, ...said, Buffer.from(pack)]);
          const prefix = await readPushPrefix(inPieces(whole, sizes));
          expect(prefix.commands).toEqual(commands.map(({ old, next, ref }) => ({ oldOid: old, newOid: next, ref })));
          expect(prefix.options).toEqual(negotiated ? options : []);
          const again = await readPushPrefix(Readable.from([await bytes(prefix.body(true))]));
          expect(again.commands).toEqual(prefix.commands);
          expect(again.options.filter((option) => option !== 'ci.skip')).toEqual(prefix.options.filter((option) => option !== 'ci.skip'));
          expect(again.options).toContain('ci.skip');
          const sent = await bytes(again.body(false));
          expect(sent.toString('latin1').match(/shallow [0-9a-f]{40}/g) ?? []).toEqual(ends.map((end) => `shallow ${end}`));
          expect(sent.subarray(sent.length - pack.length)).toEqual(Buffer.from(pack));
        },
      ),
    );
  });

  test('the empty push by which git tries its credential goes on as it is', async () => {
    const prefix = await readPushPrefix(Readable.from([flush]));
    expect(prefix.commands).toEqual([]);
    expect(await bytes(prefix.body(true))).toEqual(flush);
  });

  test('R13 what is not a push is refused', async () => {
    for (const whole of [
      Buffer.alloc(0),
      Buffer.from('hello'),
      pkt(`${oid('0')} ${oid('1')} main\0 caps`),
      pkt('push-cert\0 caps'),
      pkt(`shallow ${oid('1')}`),
      Buffer.concat([pkt('shallow main'), flush]),
      Buffer.concat([pkt(`${oid('0')} ${oid('1')} refs/heads/a\0 x`), pkt(`shallow ${oid('1')}`), flush]),
      Buffer.concat([pkt(`${oid('0')} ${oid('1')} refs/heads/a`), flush]),
      Buffer.concat([pkt(`${oid('0')} ${oid('1')} refs/heads/a\0 x`), pkt(`${oid('0')} ${oid('1')} refs/heads/b\0 y`), flush]),
      Buffer.from('0003'),
      pkt(`${oid('0')} ${oid('1')} refs/heads/a\0 x`),
    ])
      await expect(readPushPrefix(Readable.from([whole]))).rejects.toMatchObject({
        code: expect.stringMatching(/invalid_input|unsupported/),
      });
  });

  test.each([' report-status\tpush-options', ' report-status push-options=1', ' report-status\0 push-options', ' push-options\n'])(
    'R5 A62 capabilities that git reads otherwise are refused, as options could stand behind them: %j',
    async (caps) => {
      const push = Buffer.concat([pkt(`${oid('0')} ${oid('1')} refs/heads/a\0${caps} x`), flush, pkt('merge_request.create'), flush]);
      await expect(readPushPrefix(Readable.from([push]))).rejects.toMatchObject({ code: 'invalid_input' });
    },
  );
});

describe('with git itself', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'jobpass-prefix-'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test("git's receive-pack takes the push with the option that was put in", async () => {
    const git = (cwd: string, ...args: string[]): string =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], { cwd, encoding: 'utf8' });
    git(dir, 'init', '-q', '--bare', 'bare.git');
    git(join(dir, 'bare.git'), 'config', 'receive.advertisePushOptions', 'true');
    writeFileSync(
      join(dir, 'bare.git', 'hooks', 'pre-receive'),
      '#!/bin/sh\necho "$GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0" > ../seen\n',
      {
        mode: 0o755,
      },
    );
    git(dir, 'init', '-q', '-b', 'main', 'work');
    git(join(dir, 'work'), 'commit', '-q', '--allow-empty', '-m', 'one');
    const sha = git(join(dir, 'work'), 'rev-parse', 'HEAD').trim();
    const pack = execFileSync('git', ['pack-objects', '--revs', '--stdout', '-q'], { cwd: join(dir, 'work'), input: `${sha}\n` });
    const push = Buffer.concat([pkt(`${oid('0')} ${sha} refs/heads/main\0 report-status agent=test`), flush, pack]);
    const body = await bytes((await readPushPrefix(Readable.from([push]))).body(true));
    const answer = execFileSync('git', ['receive-pack', '--stateless-rpc', 'bare.git'], { cwd: dir, input: body, encoding: 'utf8' });
    expect(answer).toContain('ok refs/heads/main');
    expect(git(join(dir, 'bare.git'), 'rev-parse', 'main').trim()).toBe(sha);
    expect(execFileSync('cat', [join(dir, 'seen')], { encoding: 'utf8' })).toBe('1 ci.skip\n');
  });
});
