// A process of its own on the store that its arguments name: `open`, `append` or `claim`. Prints one line for each thing that is done.
import { id, type RunnerId } from '../../../src/base/ids.ts';
import { openStore, type Store } from '../../../src/store/open.ts';
import { auditRow } from './seed.ts';

const [mode, url = '', extra = ''] = process.argv.slice(2);
const store = await openStore(url);

/** Appends for ever; a printed id has been acknowledged. */
async function append(): Promise<never> {
  for (;;) {
    const ids = await Promise.all(Array.from({ length: 8 }, () => store.audit.append(auditRow({ requestId: extra }))));
    process.stdout.write(ids.map((auditId) => `${auditId}\n`).join(''));
  }
}

/** Takes pending jobs one by one until there are none. */
async function claim(from: Store): Promise<void> {
  const runnerId = id<RunnerId>(Number(extra));
  const filter = { runnerId, tags: [], runUntagged: true, protectedOnly: false };
  for (;;) {
    const claimed = await from.transactor.write(async (tx) => {
      const [job] = await from.jobs.claimCandidates(tx, filter, 1);
      if (job === undefined) return undefined;
      return (await from.jobs.changeJob(tx, job.id, ['pending'], { status: 'running', runnerId })) ? job.id : undefined;
    });
    if (claimed === undefined) return;
    process.stdout.write(`${claimed}\n`);
  }
}

process.stdout.write('ready\n');
if (mode === 'append') await append();
if (mode === 'claim') await claim(store);
await store.close();
