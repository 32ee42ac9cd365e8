import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { makeGitDoor } from '../../src/doors/git/git-door.ts';
import { OpenGits } from '../../src/doors/git/open-gits.ts';
import type { Admission } from '../../src/pass/subject.ts';
import { type EmbeddedGit, grantFor, project, startEmbeddedGit } from '../support/embedded-git.ts';
import { forge as listen } from './proxy/stage.ts';

let embedded: EmbeddedGit;
beforeEach(async () => {
  embedded = await startEmbeddedGit();
});
afterEach(() => embedded.close());

test.each([
  ['its refs', 'GET', 'info/refs?service=git-upload-pack'],
  ['a clone', 'POST', 'git-upload-pack'],
  ['a push', 'POST', 'git-receive-pack'],
])('R10 a client that left while it was asked whether it may: no git waits for it, and %s settles', async (_what, method, path) => {
  const settled = Promise.withResolvers<string>();
  const over = Promise.withResolvers<void>();
  const ends: Promise<unknown>[] = [];
  const { start } = embedded.runner;
  embedded.runner.start = (...order) => {
    const git = start(...order);
    ends.push(git.done);
    return git;
  };
  const { port, close } = await listen((request, response) => {
    request.on('error', () => undefined);
    const gone = new Promise((resolve) => response.once('close', resolve));
    const door = makeGitDoor({
      openGits: new OpenGits(),
      gatekeeper: {
        async admit(): Promise<Admission> {
          client.destroy();
          await gone;
          return { ok: true, grant: grantFor() };
        },
        settle: (_grant: unknown, outcome: string) => Promise.resolve(settled.resolve(outcome)),
      } as never,
      forge: { git: embedded.git },
      directory: { projectByPath: () => Promise.resolve({ id: project } as never) },
      formerPaths: { projectAt: () => Promise.resolve(undefined) },
      log: silentLog,
    });
    if (door.kind !== 'raw') return;
    const url = new URL(request.url ?? '', 'http://h');
    const context = { requestId: 'r', secure: true, path: url.pathname, query: url.searchParams };
    void door.handle(request, response, context).then(over.resolve);
  });
  const type = path.startsWith('git-') ? `Content-Type: application/x-${path}-request\r\nContent-Length: 1000\r\n` : '';
  const client = connect(port, '127.0.0.1');
  client.write(`${method} /a/b.git/${path} HTTP/1.1\r\nHost: h\r\n${type}\r\nhalf`);
  expect(await settled.promise).toBe('failed');
  await over.promise;
  await Promise.all(ends);
  await close();
});
