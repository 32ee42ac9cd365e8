import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { JobpassError, isJobpassError } from '../../base/errors.ts';
import type { JobId, ProjectId, UserId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import type { Grant } from '../../pass/grant.ts';
import { passRouteRefusal } from '../../pass/routes.ts';
import type { Access, AskContext, Gatekeeper, Refusal, Subject } from '../../pass/subject.ts';
import type { Directory } from '../../ports/directory.ts';
import type { ActingCredentials, Channel, UpstreamHistory } from '../../ports/gateway.ts';
import { parseJson } from '../api/api-door.ts';
import { credentialOf } from '../credential.ts';
import { pathProblem, queryOf } from '../paths.ts';
import { asksForForce, batchOf } from '../git/lfs/body.ts';
import { service } from '../registry/challenge.ts';
import { audienceOf, sayNo } from './answers.ts';
import type { AnswerChange, AnswerHead, ForwardChange, Forwarder } from './forwarder.ts';
import { jobOf, onePrincipal, passOf, principalsOf } from './carried-pass.ts';
import { depthAllowed } from './chain.ts';
import { confirmed, piecesOf, withoutPass } from './guarded-body.ts';
import { readFetchCommand } from './fetch-command.ts';
import { answerGit } from './git-result.ts';
import { checkBody, formOf, readBody } from './json-body.ts';
import { doorOf, judge, type Wanted } from './judge.ts';
import { Lanes } from './lanes.ts';
import { lfsAnswer } from './lfs-answer.ts';
import { checkOptions, checkUnprotected } from './push-check.ts';
import { readPushPrefix } from './push-prefix.ts';
import { refusedPush } from './push-refusal.ts';
import { checkReserved } from './params.ts';
import { checkOwnRole, mayPull, type PowerDeps, standingOf } from './power.ts';
import { checkShape } from './request-shape.ts';
import { scopesToAsk } from './registry-scopes.ts';
import { madeBy } from './made-by.ts';
import { fileForm, fileFormOf } from './file-form.ts';
import { pushed, traceOf } from './written.ts';
import { hiddenFields, withoutFields } from './scrub.ts';
import type { OpenWrite, WriteLog } from './write-log.ts';

export interface PassRequestDeps {
  readonly gatekeeper: Gatekeeper;
  readonly directory: Directory;
  /** False for what looks like a pass and is none: nothing is looked up for it. */
  readonly known: (secret: Secret) => Promise<boolean>;
  readonly forwarder: Forwarder;
  readonly acting: ActingCredentials;
  readonly power: PowerDeps;
  /** The job's own token, for what only it may ask upstream. */
  readonly jobTokenOf: (job: JobId) => Promise<Secret | undefined>;
  readonly writes: WriteLog;
  readonly history: Pick<UpstreamHistory, 'hasCommit' | 'commitsTouching' | 'deployersOf'>;
  /** Takes secrets out of a JSON answer, and puts its URLs on the external address. */
  readonly scrub: (body: Buffer) => Buffer;
  /** What holds for every answer to a pass. */
  readonly carried: (head: AnswerHead, change: AnswerChange | undefined) => AnswerChange;
  /** Our own external address. */
  readonly url: string;
  /** Upstream's own address → ours, for URLs that clients follow. */
  readonly external: (url: string) => string;
  /** Begins to look for passes in one thing that a job writes; told of a piece, it says whether there was one so far, which is revoked then (R12). */
  readonly search: (job: JobId) => (piece: Buffer) => Promise<boolean>;
  /** Drops what is kept of who is what in a project. */
  readonly forget: (project: ProjectId) => void;
  /** An administrator's token with scope `sudo`, where REST is asked with that and a `Sudo` header; undefined = with impersonation tokens. */
  readonly sudo: (() => Promise<Secret>) | undefined;
  readonly log: Log;
}

export interface RequestFacts {
  readonly requestId: string;
  readonly secure: boolean;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

type Outcome = 'done' | 'failed' | 'refused' | 'cut';

/** Rows that answer with what people stored: it comes as it is, though it be JSON. */
const answersFile = /\/(?:raw|trace|artifacts(?:\/\*)?|raw\/\*|download|uploads\/:secret\/:filename|packages\/(?:generic|maven|pypi)\/.+)$/;

/** Requests of one credential that are judged at once: each asks the forge who is who. */
const judgedAtOnce = 16;

/** Serves a request that carries a pass: judged, admitted, its credential swapped for one of the user, and forwarded. */
export function makePassRequests(deps: PassRequestDeps) {
  const lanes = new Lanes(judgedAtOnce);
  return async (request: IncomingMessage, response: ServerResponse, facts: RequestFacts): Promise<void> => {
    const audience = audienceOf(facts.path);
    try {
      const read = credentialOf(request.headers, request.rawHeaders, facts.query);
      if ('refusal' in read) return sayNo(request, response, audience, read.refusal);
      const problem = pathProblem(facts.path);
      if (problem !== undefined) throw new JobpassError('invalid_input', problem);
      await new PassRequest(deps, lanes, request, response, facts, read.subject).serve();
    } catch (error) {
      const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
      if (known.code === 'internal') deps.log.error('gateway.failed', { requestId: facts.requestId }, known);
      sayNo(request, response, audience, known);
    }
  };
}

class PassRequest {
  readonly #deps: PassRequestDeps;
  readonly #lanes: Lanes;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #facts: RequestFacts;
  readonly #subject: Subject;
  readonly #grants: Grant[] = [];
  /** Of a write: nobody knows what became of one that was sent, and of which the forge told nothing. */
  #fate: 'held' | 'sent' | 'told' = 'held';

  constructor(
    deps: PassRequestDeps,
    lanes: Lanes,
    request: IncomingMessage,
    response: ServerResponse,
    facts: RequestFacts,
    subject: Subject,
  ) {
    this.#deps = deps;
    this.#lanes = lanes;
    this.#request = request;
    this.#response = response;
    this.#facts = facts;
    this.#subject = subject;
  }

  async serve(): Promise<void> {
    let outcome: Outcome = 'failed';
    try {
      outcome = await this.#carry();
    } catch (error) {
      if (isJobpassError(error) && error.code !== 'internal' && error.code !== 'upstream_failed') outcome = 'refused';
      throw error;
    } finally {
      const settled = this.#grants.some((grant) => grant.signal.aborted) ? 'cut' : outcome;
      await Promise.all(this.#grants.map((grant) => this.#deps.gatekeeper.settle(grant, settled)));
    }
  }

  async #carry(): Promise<Outcome> {
    const { path, query } = this.#facts;
    const wanted = await this.#inLane(() => this.#judge(path, query));
    if ('code' in wanted) {
      // Asked all the same: a dead pass hears that it is dead, and the trail knows who tried.
      await this.#admit(`${this.#request.method ?? ''} (unlisted)`, [{ permission: 'pass:self', resource: { kind: 'instance' } }]);
      throw new JobpassError(wanted.code, wanted.message);
    }
    checkShape(this.#request, wanted);
    switch (wanted.kind) {
      case 'file':
        return this.#file(wanted);
      case 'registry_token':
        return this.#registryToken(wanted);
      case 'lfs_batch':
        return this.#lfsBatch(wanted);
      case 'push':
        return this.#push(wanted);
      case 'fetch':
        return this.#fetch(wanted);
      default:
        return wanted.writes ? this.#write(wanted) : this.#read(wanted);
    }
  }

  async #judge(path: string, query: URLSearchParams): Promise<Wanted | Refusal> {
    const subject = this.#subject;
    const method = this.#request.method ?? '';
    if (subject.kind === 'secret' && !(await this.#deps.known(subject.secret))) return passRouteRefusal(method, path);
    return judge(this.#deps.directory, method, path, query);
  }

  #inLane<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#lanes.run(this.#subject.kind === 'secret' ? this.#subject.secret.digest() : '', work);
  }

  async #admit(endpoint: string, accesses: readonly Access[]): Promise<Grant> {
    const admission = await this.#try(endpoint, accesses);
    if (!admission.ok) {
      // A right that was given a moment ago counts for the next try.
      for (const { resource } of accesses) if (resource.kind === 'project') this.#deps.forget(resource.id);
      const { code, message, what } = admission.refusal;
      throw new JobpassError(code, { message, ...(what === undefined ? {} : { what }) });
    }
    return admission.grant;
  }

  async #try(endpoint: string, accesses: readonly Access[]) {
    const { requestId, secure } = this.#facts;
    const context: AskContext = { door: doorOf(endpoint), endpoint, requestId, secure };
    const admission = await this.#inLane(() => this.#deps.gatekeeper.admit(this.#subject, accesses, context));
    if (admission.ok) this.#grants.push(admission.grant);
    return admission;
  }

  async #read(wanted: Wanted): Promise<Outcome> {
    const grant = await this.#admit(wanted.endpoint, wanted.accesses);
    // The upstream filters by one user, and knows no ceiling; nobody here could take out what may not be seen.
    if (wanted.list && grant.filter?.within !== undefined)
      throw new JobpassError(
        'access_denied',
        'This pass is bounded to some projects, and the forge lists them all: ask for each thing by name.',
      );
    if (wanted.list && principalsOf(grant).length > 1)
      throw new JobpassError(
        'access_denied',
        'This pass has the rights of several people, and the forge lists for one only: ask for each thing by name.',
      );
    if (wanted.personal && principalsOf(grant).length > 1)
      throw new JobpassError(
        'access_denied',
        'This pass has the rights of several people, and the forge shows notes, issues and files of artifacts to each as that person may see them: it reads none.',
      );
    const narrow = principalsOf(grant).length > 1 || grant.filter?.within !== undefined;
    const hidden = hiddenFields(wanted.endpoint, narrow);
    const scrub = wanted.kind === 'api' && !answersFile.test(wanted.endpoint) ? { answer: this.#scrubbed(hidden) } : {};
    if (wanted.ofSeveral === undefined || principalsOf(grant).length === 1) return this.#forward(grant, wanted, scrub);
    const more = await this.#admit(wanted.endpoint, [...wanted.accesses, ...wanted.ofSeveral]);
    return this.#forward(more, wanted, scrub);
  }

  async #write(wanted: Wanted): Promise<Outcome> {
    if (wanted.kind === 'lfs_unlock') return this.#lfsUnlock(wanted);
    if (wanted.kind === 'lfs') {
      const grant = await this.#admit(wanted.endpoint, wanted.accesses);
      // Whose lock it is the forge decides for one only.
      if (wanted.endpoint.endsWith('/locks')) onePrincipal(grant);
      return this.#forward(grant, wanted, {
        body: { stream: confirmed(grant, this.#pieces()), length: 'same' },
      });
    }
    const maxBytes = /\/repository\/(?:files|commits)/.test(wanted.endpoint) ? limits.fileBodyBytes : limits.jsonBodyBytes;
    const grant = await this.#admit(wanted.endpoint, wanted.accesses);
    onePrincipal(grant);
    const body = await readBody(this.#request, maxBytes);
    const said = checkBody(body, this.#request.headers['content-type']);
    checkReserved(wanted.params, [said, formOf(queryOf(this.#request.url))]);
    if (await this.#deps.search(jobOf(grant))(body))
      throw new JobpassError('credential_misplaced', 'A pass stands in the body. It is revoked by now.');
    const trace = traceOf(this.#deps.history, wanted, said, this.#facts.query);
    const before = await trace.before();
    const open = await this.#deps.writes.begin(wanted.projectId, jobOf(grant));
    try {
      await open.record(before);
      await grant.confirm(null);
      const change = { body, finish: true, answer: this.#recorded(open, wanted.endpoint) } as const;
      const outcome = await this.#forward(grant, wanted, change);
      // What is made is told apart from what was there by looking again.
      if (this.#fate === 'sent') return outcome;
      this.#fate = 'sent';
      await open.record(await trace.after());
      this.#fate = 'told';
      return outcome;
    } finally {
      await open.end(this.#fate !== 'sent');
    }
  }

  /** An upload or a package: streamed, as it may be large. */
  async #file(wanted: Wanted): Promise<Outcome> {
    const grant = await this.#admit(wanted.endpoint, wanted.accesses);
    onePrincipal(grant);
    const form = fileFormOf(wanted.endpoint);
    const file = form === undefined ? this.#pieces() : fileForm(this.#pieces(), this.#request.headers['content-type'], form);
    const stream = confirmed(grant, withoutPass(this.#deps.search(jobOf(grant)), file));
    return this.#forward(grant, wanted, { body: { stream, length: 'same' }, answer: this.#scrubbed() });
  }

  #pieces(): AsyncGenerator<Buffer> {
    return piecesOf(this.#request.iterator({ destroyOnReturn: false }));
  }

  async #push(wanted: Wanted): Promise<Outcome> {
    const grant = await this.#admit(wanted.endpoint, wanted.accesses);
    if (this.#request.headers['content-encoding'] !== undefined)
      throw new JobpassError('unsupported', 'Compressed pushes are not carried with a pass.');
    const prefix = await readPushPrefix(this.#request);
    try {
      checkOptions(prefix);
      const [user, ...others] = principalsOf(grant);
      const bounded = others.length > 0 || (user !== undefined && (await this.#heldBack(user)));
      if (bounded) checkUnprotected(await this.#deps.directory.protectedRefs(null, wanted.projectId), prefix);
    } catch (error) {
      const report = isJobpassError(error) && error.code !== 'internal' ? refusedPush(prefix, error.message) : undefined;
      if (report === undefined) throw error;
      const result = { service: 'git-receive-pack', body: report, rest: prefix.body(false) } as const;
      return (await answerGit(grant.signal, this.#request, this.#response, result)) ? 'refused' : 'cut';
    }
    const open = await this.#deps.writes.begin(wanted.projectId, jobOf(grant));
    let known = false;
    try {
      // Before it can start anything.
      await open.record(await pushed(this.#deps.history, wanted.projectId, prefix.commands));
      known = true;
      // Where a pass starts nothing (R5) the forge hears `ci.skip`.
      const skip = !(await this.#mayStartJobs(grant, wanted.projectId));
      return await this.#forward(grant, wanted, { body: { stream: confirmed(grant, prefix.body(skip)), length: 'other' } });
    } finally {
      await open.end(known);
    }
  }

  async #fetch(wanted: Wanted): Promise<Outcome> {
    const grant = await this.#admit(wanted.endpoint, wanted.accesses);
    const command = await readFetchCommand(this.#request);
    if (command === undefined) return this.#forward(grant, wanted, {});
    if (!command.asksForBundles) return this.#forward(grant, wanted, { body: { stream: command.body, length: 'same' } });
    // None: git goes on without.
    const result = { service: 'git-upload-pack', body: Buffer.from('0000'), rest: command.body } as const;
    return (await answerGit(grant.signal, this.#request, this.#response, result)) ? 'done' : 'cut';
  }

  async #mayStartJobs(grant: Grant, target: ProjectId): Promise<boolean> {
    const { chainDepth, projectId } = passOf(grant);
    return chainDepth < (await depthAllowed(this.#deps, [projectId, target]));
  }

  async #lfsBatch(wanted: Wanted): Promise<Outcome> {
    const body = await readBody(this.#request, limits.jsonBodyBytes);
    const parsed = parseJson(body.toString('utf8'));
    const upload = batchOf(typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}).operation === 'upload';
    const push: readonly Access[] = upload ? wanted.accesses.map((access) => ({ permission: 'code:push', resource: access.resource })) : [];
    const grant = await this.#admit(wanted.endpoint, [...wanted.accesses, ...push]);
    const repository = this.#facts.path.slice(0, -'/info/lfs/objects/batch'.length);
    const rewrite = lfsAnswer(this.#deps.external, `${this.#deps.url}${repository}/gitlab-lfs/objects`);
    return this.#forward(grant, { ...wanted, channel: upload ? 'git_write' : 'git_read' }, { body, answer: () => rewrite });
  }

  /** A lock of somebody else's is taken back by force, which is a right of its own. */
  async #lfsUnlock(wanted: Wanted): Promise<Outcome> {
    const body = await readBody(this.#request, limits.jsonBodyBytes);
    const force: readonly Access[] = asksForForce(body)
      ? wanted.accesses.map(({ resource }) => ({ permission: 'lfs_lock:force', resource }))
      : [];
    const grant = await this.#admit(wanted.endpoint, [...wanted.accesses, ...force]);
    onePrincipal(grant);
    return this.#forward(grant, wanted, { body: { stream: confirmed(grant, Readable.from([body])), length: 'same' } });
  }

  /** Scopes are decided here, and only those that are allowed are asked for upstream. */
  async #registryToken(wanted: Wanted): Promise<Outcome> {
    // The forge's other service, the dependency proxy, gives a token without scopes: all that its user may reach there.
    if (this.#facts.query.getAll('service').join() !== service) throw new JobpassError('not_found', { what: 'Service' });
    const login = await this.#admit(wanted.endpoint, wanted.accesses);
    const [user, ...others] = principalsOf(login);
    const heldBack = user !== undefined && (await this.#heldBack(user));
    const { target, channel } = await scopesToAsk(this.#deps.directory, this.#facts.query, async (access) => {
      // Rules of repositories and tags say who may push, and the forge asks them for one user only.
      if (others.length > 0 && access.permission !== 'container:read') return false;
      // The forge would answer for an administrator (`checkOwnRole`).
      if (heldBack && !(await mayPull(this.#deps.power, user, access))) return false;
      const admission = await this.#try(wanted.endpoint, [access]);
      return admission.ok;
    });
    return this.#forward(login, { ...wanted, channel }, { target });
  }

  async #forward(grant: Grant, wanted: Wanted, change: ForwardChange): Promise<Outcome> {
    const credential = await this.#credentialFor(grant, wanted);
    const query = queryOf(this.#request.url);
    const target = change.target ?? `${wanted.path ?? this.#facts.path}${query === '' ? '' : `?${query}`}`;
    this.#fate = 'sent';
    const { outcome, status } = await this.#deps.forwarder.forward(this.#request, this.#response, {
      ...change,
      answer: (head) => this.#deps.carried(head, change.answer?.(head)),
      target,
      credential,
      signal: grant.signal,
    });
    if (outcome !== 'done') return outcome === 'cut' ? 'cut' : 'failed';
    return status !== null && status >= 400 ? 'refused' : 'done';
  }

  /** True for an administrator whose power Admin Mode keeps out. @throws access_denied where it does not */
  async #heldBack(user: UserId): Promise<boolean> {
    const standing = await standingOf(this.#deps.power, user);
    if (typeof standing === 'object') throw new JobpassError('access_denied', `No pass acts here: ${standing.no}.`);
    return standing === 'held_back';
  }

  async #credentialFor(grant: Grant, wanted: Wanted): Promise<NonNullable<ForwardChange['credential']>> {
    const { channel, kind } = wanted;
    const identity = passOf(grant);
    const [user] = identity.principals;
    if (channel === 'job') {
      const token = await this.#deps.jobTokenOf(identity.jobId);
      if (token === undefined) throw new JobpassError('pass_dead');
      return { name: 'job-token', value: token };
    }
    if (user === undefined) throw new JobpassError('internal');
    // Who was made an administrator while the job runs: forwarded as that user, a request would have that power (A68).
    if (await this.#heldBack(user)) await checkOwnRole(this.#deps.power, user, wanted);
    const { sudo } = this.#deps;
    if (sudo !== undefined && (kind === 'api' || kind === 'file')) return { name: 'private-token', value: await sudo(), as: user };
    const secret = await this.#obtain(identity.jobId, user, channel);
    if (kind === 'api' || kind === 'file') return { name: 'private-token', value: secret };
    return { name: 'authorization', value: new Secret(`Basic ${Buffer.from(`oauth2:${secret.reveal()}`).toString('base64')}`) };
  }

  #obtain(job: JobId, user: UserId, channel: Channel): Promise<Secret> {
    return this.#deps.acting.obtain(job, user, channel);
  }

  /** @param hidden fields of the answer that are left out as well */
  #scrubbed(hidden?: ReadonlySet<string>): NonNullable<ForwardChange['answer']> {
    const scrub = (body: Buffer): Buffer => withoutFields(this.#deps.scrub(body), hidden ?? new Set());
    return ({ headers }) => (isJson(headers) ? this.#jsonAnswer((body) => Promise.resolve(scrub(body))) : undefined);
  }

  /** The ids of what was made are kept before the client hears of it. */
  #recorded(open: OpenWrite, endpoint: string): NonNullable<ForwardChange['answer']> {
    return ({ status, headers }) => {
      // After a failure of its own the forge may have made it all the same.
      const told = (): void => {
        if (status < 500) this.#fate = 'told';
      };
      if (!isJson(headers)) {
        if (status >= 400 || madeBy(endpoint, Buffer.alloc(0)) !== undefined) told();
        return undefined;
      }
      return this.#jsonAnswer(async (body) => {
        const made = status < 400 ? madeBy(endpoint, body) : [];
        if (made !== undefined) {
          await open.record(made);
          told();
        }
        return this.#deps.scrub(body);
      });
    };
  }

  #jsonAnswer(change: (body: Buffer) => Promise<Buffer>): AnswerChange {
    return { kind: 'body', maxBytes: limits.fileBodyBytes, rewrite: async (body) => ({ body: await change(body) }) };
  }
}

function isJson(headers: readonly string[]): boolean {
  return headers.some(
    (name, index) => index % 2 === 0 && name.toLowerCase() === 'content-type' && /\bjson\b/i.test(headers[index + 1] ?? ''),
  );
}
