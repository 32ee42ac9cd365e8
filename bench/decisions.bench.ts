import { Agent, request } from 'undici';
import { id, type JobId, millis, type ProjectId } from '../src/base/ids.ts';
import { newPassToken } from '../src/base/pass-token.ts';
import type { Secret } from '../src/base/secret.ts';
import type { Access, AskContext, Subject } from '../src/pass/subject.ts';
import type { NewPass } from '../src/ports/passes.ts';
import { startTestServer, type TestServer } from '../test/support/server.ts';

/**
 * What a pass costs: grants a second (who, alive?, may?, a durable row in the trail), and the latency that it adds to a request
 * of the API against the same request with the user's own token, which is audited alike. Then once more among 100,000 live passes.
 */
const requests = 3000;
/** A pass may ask 100 times a second (R10), so the questions are spread over many. */
const passesAsking = 100;
const passesAlive = 100_000;
const context: AskContext = { door: 'api', endpoint: 'GET /api/v4/projects/:id', requestId: 'bench', secure: true };

export async function run(): Promise<void> {
  const server = await startTestServer();
  const agent = new Agent({ connections: 16, pipelining: 1 });
  try {
    const { project, user, pass } = await oneLivePass(server);
    const asking = await addPasses(server, pass, passesAsking);
    const access: Access = { permission: 'project:read', resource: { kind: 'project', id: id<ProjectId>(project) } };
    // A slow machine takes longer for all this than a silent runner is believed (R2).
    const heard = () =>
      server.store.transactor.write((tx) => server.store.jobs.changeJob(tx, pass.jobId, ['running'], { contactAt: millis(Date.now()) }));
    const compare = async (title: string): Promise<void> => {
      console.log(title);
      const subjects = asking.map((secret): Subject => ({ kind: 'secret', secret, carrier: 'private_token' }));
      const texts = asking.map((secret) => secret.reveal());
      for (const parallel of [1, 64]) {
        const { perSecond, cpuMicros } = await grants(server, subjects, access, parallel);
        console.log(`  grants, ${parallel} at a time: ${perSecond.toFixed(0)}/s, ${cpuMicros.toFixed(0)} µs CPU each`);
      }
      for (const parallel of [1, 16]) {
        const url = `${server.url}/api/v4/projects/${project}`;
        // In turns, so that whatever else the machine does hits both.
        const [own, passes]: [number[], number[]] = [[], []];
        for (let round = 0; round < 5; round += 1) {
          await heard();
          own.push(...(await latencies(agent, url, [user], parallel)));
          passes.push(...(await latencies(agent, url, texts, parallel)));
        }
        console.log(`  GET /projects/:id, ${parallel} at a time: ${compared(own, passes)}`);
      }
    };
    await compare(`${passesAsking} live passes`);
    await addPasses(server, pass, passesAlive);
    await compare(`${passesAlive.toLocaleString('en')} live passes`);
    console.log(`  memory of the whole process: ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`);
  } finally {
    await agent.close();
    await server.stop();
  }
}

async function oneLivePass(server: TestServer) {
  const alice = await server.user('alice');
  const project = await server.project('team/app');
  await server.member(project, alice.id, 40);
  await server.commit(project, '.gitlab-ci.yml', 'job:\n  script: ["true"]\n', { token: alice.token });
  const { token } = await server.runner();
  const job = await server.claim(token);
  const [found] = await server.store.passes.forJob(null, id<JobId>(job?.id ?? 0));
  if (found === undefined) throw new Error('there is no job');
  const { id: _id, revokedAt: _at, revokedReason: _why, ...pass } = found;
  return { project, user: alice.token, pass };
}

/** Live ones: of the same job, which runs. */
async function addPasses(server: TestServer, like: NewPass, count: number): Promise<readonly Secret[]> {
  const made: Secret[] = [];
  while (made.length < count) {
    await server.store.transactor.write(async (tx) => {
      for (let index = 0; index < 1000 && made.length < count; index += 1) {
        const secret = newPassToken('full');
        await server.store.passes.insert(tx, { ...like, kind: 'full', digest: secret.digest() });
        made.push(secret);
      }
    });
  }
  return made;
}

async function grants(server: TestServer, subjects: readonly Subject[], access: Access, parallel: number) {
  const { gatekeeper } = server;
  const started = performance.now();
  const cpu = process.cpuUsage();
  let left = requests;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (left > 0) {
        left -= 1;
        const admission = await gatekeeper.admit(turn(subjects, left), [access], context);
        if (!admission.ok) throw new Error(admission.refusal.message);
        await gatekeeper.settle(admission.grant, 'done');
      }
    }),
  );
  const used = process.cpuUsage(cpu);
  return { perSecond: requests / ((performance.now() - started) / 1000), cpuMicros: (used.user + used.system) / requests };
}

/** Milliseconds of each request. */
async function latencies(agent: Agent, url: string, tokens: readonly string[], parallel: number): Promise<number[]> {
  const found: number[] = [];
  let left = requests / 5;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (left > 0) {
        left -= 1;
        const started = performance.now();
        const { statusCode, body } = await request(url, { dispatcher: agent, headers: { 'private-token': turn(tokens, left) } });
        await body.dump();
        if (statusCode !== 200) throw new Error(`${statusCode}`);
        found.push(performance.now() - started);
      }
    }),
  );
  return found;
}

function turn<Value>(values: readonly Value[], index: number): Value {
  const value = values[index % values.length];
  if (value === undefined) throw new Error('nothing to choose from');
  return value;
}

function compared(own: readonly number[], passes: readonly number[]): string {
  const at = (values: readonly number[], part: number): number =>
    values.toSorted((one, other) => one - other)[Math.floor(values.length * part)] ?? 0;
  const parts = [0.5, 0.99].map((part) => {
    const [us, base] = [at(passes, part), at(own, part)];
    return `p${part * 100} ${us.toFixed(2)} ms with the pass, ${base.toFixed(2)} ms with the user's token, ratio ${(us / base).toFixed(2)}`;
  });
  return parts.join('; ');
}
