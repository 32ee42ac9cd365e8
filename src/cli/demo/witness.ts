import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { Secret } from '../../base/secret.ts';

/** Between two tries. */
const pauseMs = 5;

export interface Verdict {
  /** What the pass got while its job ran. */
  readonly during: number;
  /** What it got afterwards. */
  readonly after: number;
  /** Milliseconds from the last answer as a living pass to the first refusal. */
  readonly diedWithinMs: number;
  /** What `git ls-remote` over HTTP answered afterwards. */
  readonly gitAfter: number;
  /** What the container registry answered afterwards. */
  readonly registryAfter: number;
}

/** Somebody outside the job who got hold of its pass: keeps trying it until it is refused, and says when that was. */
export interface Witness {
  readonly url: string;
  readonly verdict: Promise<Verdict>;
  close(): void;
}

/** Listens on an address of this machine for one pass of at most 200 bytes. */
export async function startWitness(host: string, forge: string, gitProbe: string): Promise<Witness> {
  const verdict = Promise.withResolvers<Verdict>();
  verdict.promise.catch(() => undefined);
  const server = createServer((incoming, outgoing) => {
    let text = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > 200) incoming.destroy();
    });
    incoming.on('end', () => {
      answer(new Secret(text)).catch(verdict.reject);
    });
    const answer = async (pass: Secret): Promise<void> => {
      const during = await tryPass(forge, pass);
      outgoing.end(String(during));
      verdict.resolve(await watch(forge, gitProbe, pass, during));
    };
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://${host}:${port}/`, verdict: verdict.promise, close: () => server.close() };
}

async function watch(forge: string, gitProbe: string, pass: Secret, during: number): Promise<Verdict> {
  const deadline = performance.now() + 60_000;
  let alive = performance.now();
  for (;;) {
    const after = await tryPass(forge, pass);
    const now = performance.now();
    if (after !== 200 || now > deadline) {
      const git = await request(`${forge}${gitProbe}`, {
        headers: { authorization: `Basic ${Buffer.from(`git:${pass.reveal()}`).toString('base64')}` },
      });
      await git.body.dump();
      const registry = await request(`${forge}/v2/`, { headers: { authorization: `Bearer ${pass.reveal()}` } });
      await registry.body.dump();
      const diedWithinMs = Math.max(1, Math.ceil(now - alive));
      return { during, after, diedWithinMs, gitAfter: git.statusCode, registryAfter: registry.statusCode };
    }
    alive = now;
    await delay(pauseMs);
  }
}

async function tryPass(forge: string, pass: Secret): Promise<number> {
  const answer = await request(`${forge}/api/v4/user`, { headers: { 'private-token': pass.reveal() } });
  await answer.body.dump();
  return answer.statusCode;
}
