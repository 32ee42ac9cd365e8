import { join, resolve } from 'node:path';
import { AuditTrail } from './audit/trail.ts';
import { systemClock } from './base/clock.ts';
import { JobpassError } from './base/errors.ts';
import type { Log } from './base/log.ts';
import { randomBase62, Secret } from './base/secret.ts';
import { makeApiDoor } from './doors/api/api-door.ts';
import type { ApiDeps } from './doors/api/route.ts';
import { makeGitDoor } from './doors/git/git-door.ts';
import { OpenGits } from './doors/git/open-gits.ts';
import { makeLfsDoor } from './doors/git/lfs/lfs-door.ts';
import { type Listen, makeHttpServer } from './doors/http.ts';
import { addressesOf, chosenPorts } from './doors/listen.ts';
import { makeOidcDoor } from './doors/oidc/oidc-door.ts';
import { makeOauthDoor } from './doors/oauth/oauth-door.ts';
import { makeMetrics, makeOpsDoor } from './doors/ops/ops-door.ts';
import { makeRegistryDoor } from './doors/registry/registry-door.ts';
import { makeRunnerDoor } from './doors/runner/runner-door.ts';
import { makeEmbeddedForge } from './forge/embedded/forge.ts';
import type { Jobs } from './jobs/jobs.ts';
import { makeJobs } from './jobs/make-jobs.ts';
import { Wakeup } from './jobs/wakeup.ts';
import { makeGatekeeper } from './pass/admit.ts';
import { deathOf } from './pass/life.ts';
import { LiveGrants } from './pass/live.ts';
import { makeLeaks } from './pass/leaks.ts';
import { makeTokenUse } from './pass/token-use.ts';
import { makeRevoker } from './pass/revoke.ts';
import type { Gatekeeper } from './pass/subject.ts';
import type { RefName } from './base/ids.ts';
import { fileContent } from './store/blobs/content.ts';
import { fileBlobs } from './store/blobs/files.ts';
import { fileTraces } from './store/blobs/traces.ts';
import { fileIdTokenSigner } from './store/id-token-keys.ts';
import { lockFolder } from './store/folder-lock.ts';
import { fileSeal } from './store/key-files.ts';
import { openStore, type Store } from './store/open.ts';
import type { Exposure } from './wire/runner.ts';

export interface ServerConfig {
  readonly dataDir: string;
  readonly listen: readonly [Listen, ...Listen[]];
  /** `sqlite:<path>` or `postgres://…`; undefined = SQLite below the data folder. */
  readonly database: string | undefined;
  /** External origins, the canonical one first; none = the first one where it listens. */
  readonly externalUrls: readonly string[];
  /** Origin by which images are named; undefined = the canonical one. */
  readonly registryUrl: string | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly allowPlainHttp: boolean;
  readonly maxExposure: Exposure;
  readonly principals: 'intersect' | 'starter';
  /** Given by the operator for the first start; undefined = made up. */
  readonly rootToken: Secret | undefined;
  readonly version: string;
}

export interface RunningServer {
  readonly url: string;
  /** Set at the first start only, when it was made up: to be shown once. */
  readonly newRootToken: Secret | undefined;
  readonly store: Store;
  readonly jobs: Jobs;
  readonly gatekeeper: Gatekeeper;
  /** Drains: at most `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/** The composition root: every part is made and joined here, by hand. */
export async function startServer(given: ServerConfig, log: Log): Promise<RunningServer> {
  // git runs elsewhere: a relative folder would mean another one there.
  const config = { ...given, dataDir: resolve(given.dataDir) };
  const clock = systemClock;
  const unlock = (config.database ?? 'sqlite:').startsWith('sqlite:') ? lockFolder(config.dataDir) : undefined;
  const store = await openStore(config.database ?? `sqlite:${join(config.dataDir, 'jobpass.db')}`, log);
  const trail = new AuditTrail(store.audit, clock, (error) => log.error('audit.refusal_lost', {}, error));
  const live = new LiveGrants(async ({ jobId, passId }) => {
    const pass = await store.passes.byId(null, passId);
    return pass !== undefined && deathOf(pass, await store.liveness.jobLife(null, jobId), clock.now()) === undefined;
  });
  const deaf = await store.revocations.listen((revoked) => live.told(revoked));
  const metrics = makeMetrics(() => live.size);
  const gatekeeper = makeGatekeeper({
    ...store,
    jobRights: config.principals === 'starter' ? undefined : store.jobRights,
    assist: store.runners,
    clock,
    trail,
    auditStore: store.audit,
    live,
    onDecision: metrics.decision,
    onTokenUse: makeTokenUse({ transactor: store.transactor, credentials: store.credentials, clock }),
  });
  const revoker = makeRevoker({ transactor: store.transactor, passes: store.passes, live, clock });
  const leaks = makeLeaks({ revoker, trail, log });
  const unknown = await store.audit.settleUnknown(clock.now());
  if (unknown > 0) log.warn('audit.unknown_outcomes', { rows: unknown });

  if (config.principals === 'starter')
    log.warn('server.principals_starter', {
      message: "nobody but who started a job is looked at: whoever can write to its branch borrows that person's rights",
    });

  // Jobs need the forge to read files, the forge tells jobs of pushes: one is told late.
  const late: { jobs?: Jobs } = {};
  const blobs = fileBlobs(join(config.dataDir, 'blobs'));
  const nodes = await store.nodes();
  const forge = await makeEmbeddedForge({
    dataDir: config.dataDir,
    stores: store.forge,
    mergeRequests: store.mergeRequests,
    packages: store.packages,
    blobs,
    directory: store.directory,
    transactor: store.transactor,
    content: await fileContent(join(config.dataDir, 'images')),
    lfsContent: await fileContent(join(config.dataDir, 'lfs')),
    leaks,
    nodes,
    clock,
    log,
    onRefsUpdated: async (event) => {
      await store.transactor.write((tx) =>
        store.forge.projects.change(tx, event.projectId, { lastActivityAt: clock.now(), emptyRepo: false }),
      );
      await late.jobs?.pipelines.pushed(event);
    },
  });

  const listen = await chosenPorts(config.listen);
  const addresses = addressesOf(config, listen[0]);
  const instance = {
    addresses,
    maxExposure: config.maxExposure,
    principals: config.principals,
    version: config.version,
  };
  const idTokens = fileIdTokenSigner(join(config.dataDir, 'id-token-keys'));
  const jobs = makeJobs({
    transactor: store.transactor,
    jobs: store.jobs,
    commitStatuses: store.commitStatuses,
    jobRights: store.jobRights,
    mergeRequests: store.mergeRequests,
    schedules: store.schedules,
    triggers: store.triggers,
    runners: store.runners,
    flow: store.flow,
    resourceGroups: store.resourceGroups,
    environments: store.environments,
    exposureBounds: store.exposureBounds,
    ceilings: store.ceilings,
    trustedProjects: store.trustedProjects,
    variables: store.variables,
    seal: fileSeal(config.dataDir, 'the values of CI/CD variables are lost'),
    pipelineIncludes: store.pipelineIncludes,
    passes: store.passes,
    credentials: store.credentials,
    settings: store.settings,
    directory: store.directory,
    forge,
    gatekeeper,
    revoker,
    leaks,
    blobs,
    traces: fileTraces(join(config.dataDir, 'blobs')),
    clock,
    log,
    idTokens,
    instance,
    wakeup: new Wakeup(randomBase62(8)),
    pushersOf: (project, commits) => store.forge.pushLog.pushersOf(null, project, commits),
    lastPushers: (project, ref) => store.forge.pushLog.lastPushers(null, project, ref as RefName),
  });
  late.jobs = jobs;
  const known = (await store.forge.users.count(null)) > 0;
  const root = known ? undefined : rootTokenOf(config.rootToken);
  if (known && config.rootToken !== undefined && (await store.credentials.personalToken(null, config.rootToken.digest())) === undefined)
    log.warn('server.root_token_ignored', {
      message:
        'JOBPASS_ROOT_TOKEN counts at the first start only, and nobody has this token: sign in with the one of that start, or make another with `jobpass serve root-token`',
    });
  await forge.recover();

  const drain = new AbortController();
  const openGits = new OpenGits();
  const api: ApiDeps = {
    gatekeeper,
    directory: store.directory,
    formerPaths: store.formerPaths,
    openGits,
    forge,
    jobs,
    audit: store.audit,
    revoker,
    clock,
    log,
    externalUrl: addresses.url,
    externalUrls: addresses.urls,
    registry: addresses.registry,
    version: config.version,
  };
  const http = makeHttpServer(
    [
      makeRunnerDoor({ gatekeeper, jobs, clock, log, draining: drain.signal }),
      makeLfsDoor({
        gatekeeper,
        directory: store.directory,
        formerPaths: store.formerPaths,
        forge,
        originFor: (host) => addresses.originFor(host),
        log,
      }),
      makeGitDoor({ gatekeeper, directory: store.directory, formerPaths: store.formerPaths, forge, openGits, log }),
      makeRegistryDoor({
        gatekeeper,
        directory: store.directory,
        forge,
        registryTokens: store.registryTokens,
        transactor: store.transactor,
        clock,
        originFor: (host) => addresses.originFor(host),
        log,
      }),
      makeOpsDoor({ metrics, ping: () => store.ping() }),
      makeOidcDoor({ idTokens, log, externalUrl: addresses.url }),
      makeOauthDoor({ ...api, passes: store.passes, transactor: store.transactor }),
      makeApiDoor(api),
    ],
    { listen, tls: config.tls, allowPlainHttp: config.allowPlainHttp, log, onRequest: metrics.request },
  );
  const close = async (graceMs = 30_000): Promise<void> => {
    drain.abort();
    await http.close(graceMs);
    await jobs.stop();
    live.close();
    await deaf();
    await forge.close();
    await nodes.close();
    await trail.flush();
    await store.close();
    unlock?.();
  };
  const url = await http
    .listen()
    .then(async (at) => {
      // Behind what may fail: a token that nobody was shown would be lost.
      if (root !== undefined) await makeRoot(store, root);
      await jobs.start();
      return at;
    })
    .catch(async (error: unknown) => {
      await close(0);
      throw error;
    });
  log.info('server.started', { url, external: addresses.url, engine: store.engine, version: config.version });
  return {
    url,
    newRootToken: config.rootToken === undefined ? root : undefined,
    store,
    jobs,
    gatekeeper,
    async close(graceMs) {
      await close(graceMs);
      log.info('server.stopped');
    },
  };
}

/** @throws invalid_input */
function rootTokenOf(given: Secret | undefined): Secret {
  const secret = given ?? new Secret(`glpat-${randomBase62(20)}`);
  if (!/^glpat-[A-Za-z0-9_-]{20,100}$/.test(secret.reveal()))
    throw new JobpassError('invalid_input', 'The root token must be `glpat-` and at least 20 letters, digits, `_` or `-`.');
  return secret;
}

/** The first start makes the administrator `root` and one token for it. */
async function makeRoot(store: Store, secret: Secret): Promise<void> {
  const now = systemClock.now();
  await store.transactor.write(async (tx) => {
    const root = await store.forge.users.insert(tx, {
      username: 'root',
      name: 'Administrator',
      email: 'root@localhost',
      isAdmin: true,
      createdAt: now,
    });
    await store.forge.tokens.insert(tx, {
      impersonation: false,
      userId: root.id,
      name: 'first start',
      scopes: ['api'],
      digest: secret.digest(),
      expiresAt: null,
      createdAt: now,
    });
  });
}
