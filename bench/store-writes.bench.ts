// SQLite writes on the main thread against a writer in a worker thread: audit appends and job updates, at 1, 16 and 64 callers at once.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { id, type JobId, millis, type ProjectId, type UserId } from '../src/base/ids.ts';
import type { NewAuditRow } from '../src/ports/audit.ts';
import { openStore, type Store } from '../src/store/open.ts';

const callers = [1, 16, 64];
const rounds = 3;
const measureMs = 900;
const jobCount = 64;

type Work = { readonly kind: 'audit' } | { readonly kind: 'job'; readonly job: number; readonly at: number };
type Variant = readonly [name: string, (caller: number) => Promise<unknown>];

const row: NewAuditRow = {
  at: millis(1_795_000_000_000),
  decision: 'allow',
  subject: 'pass',
  passId: null,
  passKind: 'full',
  jobId: id<JobId>(1),
  pipelineId: null,
  jobProjectId: null,
  principals: [id<UserId>(1), id<UserId>(2)],
  accesses: ['code:download@project:7'],
  door: 'git',
  endpoint: 'GET /:path/info/refs',
  rule: 'R1',
  reason: 'every principal may download the code',
  requestId: '01JDBENCH0000000000000000',
  count: 1,
};

/** Groups what is asked in one turn of the loop into one transaction, as the audit trail does. */
function groupedUpdates(store: Store): (job: number, at: number) => Promise<unknown> {
  let waiting: { job: number; at: number; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let running = false;
  const writeGroup = async (): Promise<void> => {
    while (waiting.length > 0) {
      await new Promise(setImmediate);
      const group = waiting;
      waiting = [];
      await store.transactor
        .write(async (tx) => {
          for (const { job, at } of group) await store.jobs.changeJob(tx, id<JobId>(job), ['running'], { contactAt: millis(at) });
        })
        .then(
          () => group.forEach((one) => one.resolve()),
          (error: unknown) => group.forEach((one) => one.reject(error)),
        );
    }
    running = false;
  };
  return (job, at) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ job, at, resolve, reject });
      if (running) return;
      running = true;
      void writeGroup();
    });
}

async function serve(port: MessagePort, url: string): Promise<void> {
  const store = await openStore(url);
  const update = groupedUpdates(store);
  port.on('message', ([call, work]: [number, Work]) => {
    void (work.kind === 'audit' ? store.audit.append(row) : update(work.job, work.at)).then(
      () => port.postMessage([call, true]),
      () => port.postMessage([call, false]),
    );
  });
  port.postMessage([0, true]);
}

async function startWriter(url: string): Promise<{ ask(work: Work): Promise<void>; stop(): Promise<unknown> }> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { storeWrites: url } });
  const calls = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  let last = 0;
  const ready = new Promise<void>((resolve, reject) => calls.set(0, { resolve, reject }));
  worker.on('message', ([call, done]: [number, boolean]) => {
    const waiting = calls.get(call);
    calls.delete(call);
    if (done) waiting?.resolve();
    else waiting?.reject(new Error('the writer failed'));
  });
  await ready;
  const ask = (work: Work): Promise<void> =>
    new Promise((resolve, reject) => {
      last += 1;
      calls.set(last, { resolve, reject });
      worker.postMessage([last, work]);
    });
  return { ask, stop: () => worker.terminate() };
}

/** @returns operations a second, and the 99th percentile of the event loop's delay in milliseconds */
async function measure(work: (caller: number) => Promise<unknown>, count: number): Promise<readonly [number, number]> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  let done = 0;
  await Promise.all(
    Array.from({ length: count }, async (_, caller) => {
      while (performance.now() - start < measureMs) {
        await work(caller);
        done += 1;
        // SQLite answers in microtasks alone: without this the loop would never turn, and no delay be seen. Requests come by the loop too.
        await new Promise(setImmediate);
      }
    }),
  );
  delay.disable();
  const tookMs = performance.now() - start;
  // No sample at all means that the loop stood still all the time.
  return [done / (tookMs / 1000), delay.count === 0 ? tookMs : delay.percentile(99) / 1e6];
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function compare(title: string, variants: readonly Variant[]): Promise<void> {
  console.log(`\n${title}: operations/s (event loop delay p99, ms), median of ${rounds} rounds in turn [lowest–highest operations/s]`);
  for (const count of callers) {
    const results = variants.map(() => ({ perSecond: [] as number[], delayMs: [] as number[] }));
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, [, work]] of variants.entries()) {
        const [perSecond, delayMs] = await measure(work, count);
        results[index]?.perSecond.push(perSecond);
        results[index]?.delayMs.push(delayMs);
      }
    }
    for (const [index, [name]] of variants.entries()) {
      const { perSecond = [], delayMs = [] } = results[index] ?? {};
      const range = `${Math.min(...perSecond).toFixed(0)}–${Math.max(...perSecond).toFixed(0)}`;
      console.log(
        `${String(count).padStart(4)} callers  ${name.padEnd(32)} ${median(perSecond).toFixed(0).padStart(7)} (${median(delayMs).toFixed(1)}) [${range}]`,
      );
    }
  }
}

async function addRunningJobs(store: Store): Promise<readonly JobId[]> {
  const at = row.at;
  return store.transactor.write(async (tx) => {
    const user = await store.forge.users.insert(tx, { username: 'b', name: 'b', email: 'b@example.org', isAdmin: false, createdAt: at });
    const place = { namespaceId: user.namespaceId, description: '', visibility: 'private', defaultBranch: 'main' } as const;
    const project = await store.forge.projects.insert(tx, { ...place, name: 'b', slug: 'b', creatorId: user.id, createdAt: at });
    const common = {
      projectId: project.id satisfies ProjectId,
      ref: 'main',
      tag: false,
      sha: 'a'.repeat(40),
      userId: user.id,
      createdAt: at,
    };
    const pipeline = await store.jobs.insertPipeline(tx, {
      ...common,
      beforeSha: '0'.repeat(40),
      source: 'push',
      status: 'running',
      creators: [user.id],
      parentJobId: null,
      chainDepth: 0,
      variables: [],
      yamlErrors: null,
    });
    const planned = Array.from({ length: jobCount }, (_, index) => ({
      ...common,
      pipelineId: pipeline.id,
      name: `job ${index}`,
      stage: 'test',
      stageIndex: 0,
      status: 'running' as const,
      allowFailure: false,
      when: 'on_success' as const,
      tags: [],
      timeoutSeconds: 3600,
      plan: JSON.stringify({ script: ['x'.repeat(2000)] }),
      needs: null,
      retriedById: null,
    }));
    return (await store.jobs.insertJobs(tx, planned)).map((job) => job.id);
  });
}

export async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'jobpass-bench-store-'));
  const url = `sqlite:${join(folder, 'jobpass.db')}`;
  const store = await openStore(url);
  const jobs = await addRunningJobs(store);
  const writer = await startWriter(url);
  const update = groupedUpdates(store);
  const jobOf = (caller: number): JobId => jobs[caller % jobs.length] ?? id<JobId>(0);
  let at = row.at as number;
  const next = (): number => (at += 1);
  try {
    await compare('audit append', [
      ['main thread, grouped (ours)', () => store.audit.append(row)],
      ['worker thread, grouped', () => writer.ask({ kind: 'audit' })],
    ]);
    const alone = (caller: number) =>
      store.transactor.write((tx) => store.jobs.changeJob(tx, jobOf(caller), ['running'], { contactAt: millis(next()) }));
    await compare('job update', [
      ['main thread, one commit each (ours)', alone],
      ['main thread, grouped', (caller) => update(jobOf(caller), next())],
      ['worker thread, grouped', (caller) => writer.ask({ kind: 'job', job: jobOf(caller), at: next() })],
    ]);
  } finally {
    await writer.stop();
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const given: unknown = workerData;
if (!isMainThread && parentPort !== null && typeof given === 'object' && given !== null && 'storeWrites' in given)
  await serve(parentPort, String(given.storeWrites));
