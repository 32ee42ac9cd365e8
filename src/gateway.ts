import { join, resolve } from 'node:path';
import { BlockList, isIPv6 } from 'node:net';
import { AuditTrail } from './audit/trail.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { JobpassError } from './base/errors.ts';
import type { JobId, ProjectId, RunnerId } from './base/ids.ts';
import type { Log } from './base/log.ts';
import { looksLikePass } from './base/pass-token.ts';
import type { Secret } from './base/secret.ts';
import { type Listen, makeHttpServer } from './doors/http.ts';
import { addressesOf, chosenPorts } from './doors/listen.ts';
import { makeOauthDoor } from './doors/oauth/oauth-door.ts';
import { makeFront } from './doors/proxy/front.ts';
import { makeOwnRoutes } from './doors/proxy/own-routes.ts';
import type { RunnerTrust } from './doors/proxy/job-exposure.ts';
import { makeForwarder } from './doors/proxy/make-forwarder.ts';
import { carriedAnswers, scrubbed } from './doors/proxy/scrub.ts';
import { WriteLog } from './doors/proxy/write-log.ts';
import { makeActingCredentials } from './forge/gitlab/acting.ts';
import { UpstreamClient } from './forge/gitlab/client.ts';
import { type GitlabAskers, makeGitlabAskers } from './forge/gitlab/askers.ts';
import { type GitlabDirectory, makeGitlabDirectory } from './forge/gitlab/directory.ts';
import { makeGitlabHistory } from './forge/gitlab/history.ts';
import { makeGitlabIncludes } from './forge/gitlab/includes.ts';
import { makeGitlabJobs } from './forge/gitlab/jobs.ts';
import { makeGitlabPipelines } from './forge/gitlab/pipelines.ts';
import { GitlabLiveness } from './forge/gitlab/liveness.ts';
import type { JobPasses } from './jobs/jobs.ts';
import { LeakScanner } from './jobs/leaks.ts';
import { makeBounds } from './jobs/bounds.ts';
import { makeCeilingSettings } from './jobs/ceilings.ts';
import { makeTrustList } from './jobs/trust.ts';
import { type GatekeeperDeps, makeGatekeeper } from './pass/admit.ts';
import { ceilingFromFile } from './pass/ceiling-file.ts';
import { deathOf, unanswered } from './pass/life.ts';
import { LiveGrants } from './pass/live.ts';
import { makeLeaks } from './pass/leaks.ts';
import { makeRevoker } from './pass/revoke.ts';
import { type Grant, verifyGrant } from './pass/grant.ts';
import type { Gatekeeper } from './pass/subject.ts';
import type { Credentials } from './ports/credentials.ts';
import { lockFolder } from './store/folder-lock.ts';
import { fileSeal } from './store/key-files.ts';
import { openStore, type Store } from './store/open.ts';
import type { Exposure } from './wire/runner.ts';

export interface GatewayConfig {
  /** Origin of the forge behind it. */
  readonly upstream: string;
  readonly adminTokenFile: string;
  /** PEM of the authority that signed the forge's certificate. */
  readonly upstreamCa: string | undefined;
  readonly dataDir: string;
  readonly listen: readonly [Listen, ...Listen[]];
  readonly database: string | undefined;
  /** External origins, the canonical one first; none = where it listens. */
  readonly externalUrls: readonly string[];
  readonly registryUrl: string | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly allowPlainHttp: boolean;
  readonly maxExposure: Exposure;
  readonly principals: 'intersect' | 'starter';
  /** Older runners that may show jobs their full pass: their gate verdict is the admin's word (R7). */
  readonly trustedRunners: readonly RunnerId[];
  /** jobpass runners that may do so where their request is signed and their own verdict allows it; `key` undefined = the first one that it brings. */
  readonly signedRunners: readonly { readonly id: RunnerId; readonly key: string | undefined }[];
  /** Older runners whose jobs find their pass in a masked variable, and fetch with its rights (DESIGN §3, `assist: expose`). */
  readonly exposedRunners: readonly RunnerId[];
  /** Runners that get no pass at all. */
  readonly distrustedRunners: readonly RunnerId[];
  /** Group and project runners whose makers are not asked (R3). */
  readonly vouchedRunners: readonly RunnerId[];
  /** Older runners whose jobs fetch with the rights of their fetch pass: their gate verdict is the admin's (DESIGN §3, `assist: fetch`). */
  readonly assistedRunners: readonly RunnerId[];
  /** How deep jobs that passes start may nest (R5); a project that is not named lets passes start nothing that has a pass. */
  readonly chainDepths: ReadonlyMap<ProjectId, number>;
  /** What all passes may do at most, as JSON text (R4); undefined = no bound of the instance. */
  readonly ceiling: string | undefined;
  /** How REST is asked as a user: with impersonation tokens, or with the admin token and a `Sudo` header. */
  readonly acting: 'impersonation' | 'sudo';
  /** What the forge sends along with its webhooks; undefined = there are none. */
  readonly webhookSecret: Secret | undefined;
  /** Addresses or networks of proxies in front. */
  readonly trustedProxies: readonly string[];
  /** Origins of the forge's object storage, which the gateway reads for clients: signed URLs are not handed to jobs. */
  readonly objectStorage: readonly string[];
}

export interface RunningGateway {
  readonly url: string;
  readonly store: Store;
  readonly gatekeeper: Gatekeeper;
  close(graceMs?: number): Promise<void>;
}

const sweepMs = 60_000;

/** The composition root of `jobpass gateway`: the pass in front of a forge that knows nothing of it. */
export async function startGateway(given: GatewayConfig, log: Log, clock: Clock = systemClock): Promise<RunningGateway> {
  const config = { ...given, dataDir: resolve(given.dataDir) };
  const unlock = (config.database ?? 'sqlite:').startsWith('sqlite:') ? lockFolder(config.dataDir) : undefined;
  const store = await openStore(config.database ?? `sqlite:${join(config.dataDir, 'gateway.db')}`, log);
  const client = new UpstreamClient({ url: config.upstream, adminTokenFile: config.adminTokenFile, ca: config.upstreamCa });
  // A forge may come up later; a file that is not there is a setting that is wrong.
  await client.adminToken();
  const seal = fileSeal(config.dataDir, 'passes of running jobs end, nothing else is lost (remove it then)');
  const directory = makeGitlabDirectory(client, config.chainDepths);
  const upstream = {
    ...makeGitlabJobs(client),
    ...makeGitlabPipelines(client),
    ...makeGitlabHistory(client, directory),
    ...makeGitlabIncludes(client, directory),
  };
  const power = { users: directory, actsBySudo: config.acting === 'sudo' };

  const live = new LiveGrants(async ({ jobId, passId }) => {
    const pass = await store.passes.byId(null, passId);
    const death = pass === undefined ? 'unknown' : deathOf(pass, await liveness.jobLife(null, jobId), clock.now());
    if (death === unanswered) throw new JobpassError('job_unanswered');
    return death === undefined;
  });
  const deaf = await store.revocations.listen((revoked) => live.told(revoked));
  const revoker = makeRevoker({ transactor: store.transactor, passes: store.passes, live, clock });
  const liveness = new GitlabLiveness({
    upstream,
    jobs: store.gatewayJobs,
    transactor: store.transactor,
    seal,
    clock,
    log,
    onEnding: (tx, job) => revoker.revokeForJob(tx, job, 'its job has ended'),
    onEnded: (job) => {
      revoker.jobEnded(job);
      leaks.forget(job);
      acting.endJob(job).catch((error: unknown) => log.error('gateway.tokens_left', { job }, error));
    },
  });
  const trail = new AuditTrail(store.audit, clock, (error) => log.error('audit.refusal_lost', {}, error));
  const leaked = makeLeaks({ revoker, trail, log });
  const newScanner = (): LeakScanner => new LeakScanner(leaked);
  const leaks = newScanner();
  const acting = makeActingCredentials({
    client,
    tokens: store.actingTokens,
    transactor: store.transactor,
    clock,
    log,
    ended: (job) => liveness.hasEnded(job),
  });
  const assists = (runner: RunnerId): boolean => config.assistedRunners.includes(runner) || config.exposedRunners.includes(runner);
  const askers = makeGitlabAskers(client, directory, clock);
  const judging: GatekeeperDeps = {
    ...store,
    directory,
    liveness,
    credentials: jobsOnly(store, askers),
    assist: {
      async assisting(tx, job) {
        const record = await store.gatewayJobs.byId(tx, job);
        if (record === undefined || !assists(record.runnerId)) return undefined;
        const pinned = { verdict: 'expose', reasons: [], at: record.startedAt } as const;
        return { assist: 'fetch', trust: 'fetch', pinned, publicKey: null, unsafeAccepted: false };
      },
    },
    clock,
    trail,
    auditStore: store.audit,
    live,
  };
  const gatekeeper = makeGatekeeper(judging);
  const unknown = await store.audit.settleUnknown(clock.now());
  if (unknown > 0) log.warn('audit.unknown_outcomes', { rows: unknown });
  if (config.principals === 'starter')
    log.warn('gateway.principals_starter', {
      message: "nobody but who started a job is looked at: whoever can write to its branch borrows that person's rights",
    });

  const listen = await chosenPorts(config.listen);
  const addresses = addressesOf(config, listen[0]);
  // Before anything is served: one that cannot be read is no start.
  if (config.ceiling !== undefined) {
    const ceiling = JSON.stringify(await ceilingFromFile(config.ceiling, directory));
    await store.transactor.write((tx) => store.ceilings.set(tx, { kind: 'instance' }, ceiling, clock.now()));
  } else if ((await store.ceilings.of(null, { kind: 'instance' })) !== undefined) {
    // A setting that is gone, or a second gateway without it, must not open what was closed (R4, A43).
    log.warn('gateway.ceiling_remembered', {
      message: 'the ceiling of an earlier start stays in force; give --ceiling a file that allows more to widen it',
    });
  }
  const forwarder = makeForwarder({
    upstream: config.upstream,
    ca: config.upstreamCa,
    trustedProxies: blockListOf(config.trustedProxies),
    log,
  });
  const writes = new WriteLog(store.passWrites, store.transactor, clock);
  const external = (url: string): string =>
    url.startsWith(`${config.upstream}/`) ? addresses.url + url.slice(config.upstream.length) : url;
  const front = makeFront({
    forwarder,
    log,
    assisted:
      config.assistedRunners.length + config.exposedRunners.length === 0
        ? undefined
        : { jobs: store.gatewayJobs, passes: store.passes, directory, assists },
    passes: {
      gatekeeper,
      directory,
      known: async (secret) => !looksLikePass(secret.reveal()) || (await store.passes.byDigest(null, secret.digest())) !== undefined,
      forwarder,
      acting,
      power,
      jobTokenOf: (job) => liveness.tokenOf(job),
      writes,
      history: upstream,
      scrub: scrubbed(external),
      url: addresses.url,
      carried: carriedAnswers(external, {
        forge: [addresses.url, config.upstream, ...config.externalUrls],
        storage: config.objectStorage,
      }),
      external,
      forget: (project) => directory.forget(project),
      sudo: config.acting === 'sudo' ? () => client.adminToken() : undefined,
      search(job) {
        const scanner = newScanner();
        return async (piece) => {
          await scanner.scan(job, piece);
          return scanner.altered(job);
        };
      },
      log,
    },
    runners: {
      upstream,
      directory,
      power,
      passes: store.passes,
      jobs: store.gatewayJobs,
      ceilings: store.ceilings,
      writes,
      transactor: store.transactor,
      clock,
      addresses,
      maxExposure: config.maxExposure,
      exposureBounds: store.exposureBounds,
      trustedProjects: store.trustedProjects,
      principals: config.principals,
      trustOf: (runner) => trustIn(config, runner),
      proof: {
        keys: store.gatewayRunners,
        useNonce: (runner, nonce, now) => store.transactor.write((tx) => store.runners.useNonce(tx, runner, nonce, now)),
        transactor: store.transactor,
        clock,
        log,
        signing: (runner) => config.signedRunners.find(({ id }) => id === runner),
      },
      seal: (token) => seal.seal(token),
      forwarder,
      leaks,
      newScanner,
      log,
      heard: (job, token, answer) => {
        liveness.observe(job, token, answer).catch((error: unknown) => log.error('gateway.not_heard', { job }, error));
      },
    },
  });
  const http = makeHttpServer(
    [
      makeOwnRoutes({
        gatekeepers: { user: gatekeeper, admin: makeGatekeeper({ ...judging, directory: withAdmins(directory) }) },
        prove: (token) => askers.prove(token),
        jobs: {
          bounds: makeBounds(store),
          ceilings: makeCeilingSettings({ ...store, clock }),
          trust: makeTrustList({ ...store, clock }),
          pipelines: { passes: (grant, project, job) => passesOf(store, grant, project, job) },
        },
        audit: store.audit,
        directory,
        log,
        externalUrl: addresses.url,
        ping: () => store.ping(),
        webhook: { secret: config.webhookSecret, look: (job) => liveness.look(job), forget: () => directory.forget() },
      }),
      makeOauthDoor({
        gatekeeper,
        revoker,
        log,
        externalUrl: addresses.url,
        directory,
        clock,
        passes: store.passes,
        transactor: store.transactor,
      }),
    ],
    {
      listen,
      tls: config.tls,
      allowPlainHttp: config.allowPlainHttp,
      log,
      front,
    },
  );
  const url = await http.listen();
  liveness.start();
  const sweeper = setInterval(() => void acting.sweep().catch((error: unknown) => log.error('gateway.sweep_failed', {}, error)), sweepMs);
  sweeper.unref();
  // What an earlier process left behind.
  await liveness
    .reap()
    .catch((error: unknown) => log.warn('gateway.reap_failed', { why: error instanceof Error ? error.message : 'unknown' }));
  await acting
    .sweep()
    .catch((error: unknown) => log.warn('gateway.sweep_failed', { why: error instanceof Error ? error.message : 'unknown' }));
  log.info('gateway.started', { url, external: addresses.url, upstream: config.upstream });
  return {
    url,
    store,
    gatekeeper,
    async close(graceMs = 30_000) {
      await http.close(graceMs);
      clearInterval(sweeper);
      liveness.stop();
      await acting.stop();
      live.close();
      await deaf();
      await forwarder.close();
      await client.close();
      await trail.flush();
      await store.close();
      unlock?.();
      log.info('gateway.stopped');
    },
  };
}

/** For people who proved that their token reaches what an administrator's does. */
function withAdmins(directory: GitlabDirectory): GitlabDirectory {
  return {
    ...directory,
    async users(tx, ids) {
      const found = await directory.users(tx, ids);
      const powers = await Promise.all([...found.keys()].map(async (id) => [id, await directory.powerOf(id)] as const));
      const admins = new Set(powers.filter(([, power]) => power === 'admin').map(([id]) => id));
      return new Map([...found].map(([id, user]) => [id, { ...user, isAdmin: admins.has(id) }]));
    },
  };
}

/** Every pass that a job which was handed out here ever had. @throws not_found */
async function passesOf(store: Store, grant: Grant, project: ProjectId, id: JobId): Promise<JobPasses> {
  verifyGrant(grant, 'job:read', { kind: 'project', id: project });
  const job = await store.gatewayJobs.byId(null, id);
  if (job === undefined || job.projectId !== project) throw new JobpassError('not_found', { what: 'Job' });
  const passes = await store.passes.forJob(null, id);
  const [first] = passes;
  return {
    rights: first === undefined ? undefined : { principals: first.principals, provable: !first.ownProjectOnly, sources: [] },
    passes,
  };
}

/**
 * The forge knows its own tokens; here passes are known, the tokens of the jobs that were handed out (for `assist`), and whose token it is that the forge
 * was just asked about.
 */
function jobsOnly({ credentials, gatewayJobs }: Store, askers: GitlabAskers): Credentials {
  const none = () => Promise.resolve(undefined);
  return {
    ...credentials,
    personalToken: (_tx, digest) => Promise.resolve(askers.proven(digest)),
    runnerToken: none,
    registrationToken: none,
    async jobToken(tx, digest) {
      const job = await gatewayJobs.byToken(tx, digest);
      if (job === undefined) return undefined;
      const { id, projectId, pipelineId, userId } = job;
      return { jobId: id, projectId, pipelineId, userId };
    },
  };
}

/** What the settings say of a runner. What takes away counts before what gives. */
function trustIn(config: GatewayConfig, runner: RunnerId): RunnerTrust {
  const signed = config.signedRunners.some(({ id }) => id === runner);
  const inVariable = config.exposedRunners.includes(runner);
  const full = signed || inVariable || config.trustedRunners.includes(runner);
  return {
    trust: config.distrustedRunners.includes(runner) ? 'none' : full ? 'full' : 'fetch',
    vouched: config.vouchedRunners.includes(runner),
    by: signed ? 'signed' : 'pinned',
    // One that signs knows the field; no variable for it.
    inVariable: inVariable && !signed,
  };
}

/** @throws invalid_input */
function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    try {
      if (bits === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(bits), family);
    } catch (error) {
      throw new JobpassError('invalid_input', `--trusted-proxy ${network} is no address or network, such as 10.0.0.0/8.`, error);
    }
  }
  return list;
}
