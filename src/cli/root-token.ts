import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AuditTrail } from '../audit/trail.ts';
import { systemClock } from '../base/clock.ts';
import { JobpassError } from '../base/errors.ts';
import { randomBase62, Secret } from '../base/secret.ts';
import { lockFolder } from '../store/folder-lock.ts';
import { openStore } from '../store/open.ts';

/**
 * Another token for `root`, where every one is lost: for whoever has the data folder and the database, and so all that is in them. The tokens
 * of before stay as they are.
 * @throws conflict while a server has the folder; not_found where none ever started there
 */
export async function newRootToken(dataDir: string, database: string | undefined): Promise<Secret> {
  const folder = resolve(dataDir);
  const url = database ?? `sqlite:${join(folder, 'jobpass.db')}`;
  const sqlite = url.startsWith('sqlite:');
  const none = new JobpassError('not_found', { message: 'No server has started with this data folder and database.' });
  // A wrong name is an answer, and makes nothing.
  if (!existsSync(folder) || (sqlite && !existsSync(url.slice('sqlite:'.length)))) throw none;
  const unlock = sqlite ? lockFolder(folder) : undefined;
  try {
    const store = await openStore(url);
    try {
      const [root] = (await store.forge.users.list(null, { username: 'root' }, { page: 1, perPage: 1 })).rows;
      if (root === undefined) throw none;
      const secret = new Secret(`glpat-${randomBase62(20)}`);
      const trail = new AuditTrail(store.audit, systemClock, () => undefined);
      const allowed = await trail.allow({
        decision: 'allow',
        subject: 'system',
        passId: null,
        passKind: null,
        jobId: null,
        pipelineId: null,
        jobProjectId: null,
        principals: [root.id],
        accesses: [`user:update@user:${root.id}`],
        door: 'cli',
        endpoint: 'jobpass serve root-token',
        rule: 'R1',
        reason: 'whoever has the data folder has everything in it',
        requestId: randomBase62(12),
      });
      await store.transactor.write(async (tx) => {
        await store.forge.users.setState(tx, root.id, 'active');
        await store.forge.tokens.insert(tx, {
          impersonation: false,
          userId: root.id,
          name: 'jobpass serve root-token',
          scopes: ['api'],
          digest: secret.digest(),
          expiresAt: null,
          createdAt: systemClock.now(),
        });
      });
      await trail.settle(allowed, 'done', null);
      return secret;
    } finally {
      await store.close();
    }
  } finally {
    unlock?.();
  }
}
