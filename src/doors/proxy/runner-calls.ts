import type { IncomingMessage, ServerResponse } from 'node:http';
import { isJobpassError } from '../../base/errors.ts';
import { type JobId, parseId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import type { LeakScanner } from '../../jobs/leaks.ts';
import type { Forwarder } from './forwarder.ts';
import { readBody } from './json-body.ts';
import type { UpstreamRunner, UpstreamRunners } from '../../ports/gateway.ts';
import type { Proof } from './job-exposure.ts';
import { type HandedOut, type IssueDeps, issueFor } from './job-issue.ts';
import { type ProofDeps, proofOf, unproven } from './runner-proof.ts';

export interface RunnerCallDeps extends IssueDeps {
  readonly upstream: IssueDeps['upstream'] & UpstreamRunners;
  readonly proof: ProofDeps;
  readonly forwarder: Forwarder;
  /** Remembers what it read of each job. */
  readonly leaks: Pick<LeakScanner, 'scan'>;
  /** For what may be anybody's: one for each request. */
  readonly newScanner: () => Pick<LeakScanner, 'scan'>;
  readonly log: Log;
  /** Told what the forge answered to a runner's call about its job: a word of the runner, and maybe the job's end. */
  readonly heard: (job: JobId, jobToken: Secret, answer: { readonly status: number; readonly jobStatus: string | undefined }) => void;
}

const payloadBytes = 16 * 1024 * 1024;

/** `POST /api/v4/jobs/request`: the forge's answer gains one field, and stays the same to the byte otherwise. */
export async function requestJob(deps: RunnerCallDeps, request: IncomingMessage, response: ServerResponse, secure: boolean): Promise<void> {
  const body = await readBody(request, limits.jsonBodyBytes);
  const runnerToken = runnerTokenOf(request, body);
  const known = await runnerAsking(deps, request, body, runnerToken, false);
  await deps.forwarder.forward(request, response, {
    body,
    answer: ({ status }) =>
      status === 201 && runnerToken !== undefined
        ? {
            kind: 'body',
            maxBytes: payloadBytes,
            rewrite: async (answer) => ({ body: await extended(deps, answer, { runnerToken, known, secure }) }),
          }
        : undefined,
  });
}

/** `POST /api/v4/runners/verify`: how a jobpass runner brings its key. */
export async function verifyRunner(deps: RunnerCallDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request, limits.jsonBodyBytes);
  await runnerAsking(deps, request, body, runnerTokenOf(request, body), true);
  await deps.forwarder.forward(request, response, { body });
}

interface Asking {
  readonly runnerToken: Secret;
  /** A runner whose requests an admin said are signed; looked up before the request goes on. */
  readonly known: { readonly runner: UpstreamRunner; readonly proof: Proof } | undefined;
  readonly secure: boolean;
}

/** A request that claims to be signed, of a runner whose word counts then: a wrong signature goes nowhere (A60). @throws access_denied, upstream_failed */
async function runnerAsking(
  deps: RunnerCallDeps,
  request: IncomingMessage,
  body: Buffer,
  token: Secret | undefined,
  introduces: boolean,
): Promise<Asking['known']> {
  if (token === undefined || (request.headers.signature === undefined && request.headers['signature-input'] === undefined))
    return undefined;
  const runner = await deps.upstream.runnerOf(token);
  return runner === undefined ? undefined : { runner, proof: await proofOf(deps.proof, runner.id, request, body, introduces) };
}

/** A job without a pass is still a job: whatever goes wrong here, the runner gets what the forge gave it. */
async function extended(deps: RunnerCallDeps, payload: Buffer, { runnerToken, known, secure }: Asking): Promise<Buffer> {
  const handed = handedOut(payload);
  if (handed === undefined) {
    deps.log.warn('gateway.payload_unread', {});
    return payload;
  }
  // In clear nothing of a pass goes out (R16).
  if (!secure) {
    deps.log.warn('gateway.no_pass', { job: handed.id, why: 'the runner asked over plain HTTP' });
    return payload;
  }
  try {
    const runner = known?.runner ?? (await deps.upstream.runnerOf(runnerToken));
    const issue = await issueFor(deps, handed, runner, known?.proof ?? unproven);
    if ('none' in issue) {
      deps.log.info('gateway.no_pass', { job: handed.id, why: issue.none });
      return payload;
    }
    deps.log.info('gateway.pass_issued', { job: handed.id, exposure: issue.extended.exposure });
    const told = issue.inVariable ? withVariable(payload, issue.extended.token) : payload;
    return withField(told, 'extended_job_token', issue.extended);
  } catch (error) {
    if (isJobpassError(error)) deps.log.warn('gateway.no_pass', { job: handed.id, why: error.message });
    else deps.log.error('gateway.issue_failed', { job: handed.id }, error);
    return payload;
  }
}

/** For a runner that ignores the field (DESIGN §3, `assist: expose`): a masked variable, the last one, so that no other counts. */
function withVariable(payload: Buffer, token: string | undefined): Buffer {
  if (token === undefined) return payload;
  const job = fieldsOf(parsed(payload));
  const variable = { key: 'CI_EXTENDED_JOB_TOKEN', value: token, public: false, masked: true, raw: true };
  return Buffer.from(JSON.stringify({ ...job, variables: [...listOf(job['variables']), variable] }));
}

/** Put before the closing brace: the rest keeps its bytes. */
function withField(json: Buffer, name: string, value: unknown): Buffer {
  const end = json.lastIndexOf('}');
  return Buffer.concat([json.subarray(0, end), Buffer.from(`,${JSON.stringify(name)}:${JSON.stringify(value)}`), json.subarray(end)]);
}

/** `PUT /jobs/:id`, `PATCH /jobs/:id/trace` and the like: untouched, but heard. */
export async function reportJob(deps: RunnerCallDeps, request: IncomingMessage, response: ServerResponse, job: JobId): Promise<void> {
  const token = request.headers['job-token'];
  await deps.forwarder.forward(request, response, {
    ...(request.method === 'PATCH' ? { body: { stream: searched(deps, request, job), length: 'same' } } : {}),
    answer: ({ status, headers }) => {
      const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'job-status');
      const jobStatus = at < 0 ? undefined : headers[at + 1];
      // Before the runner hears it: what it does next with a pass finds the job asked about (R2).
      if (typeof token === 'string' && token !== '') deps.heard(job, new Secret(token), { status, jobStatus });
      return undefined;
    },
  });
}

/**
 * A piece of a trace on its way (R12): a pass in it is revoked before the piece goes on. It is not masked: the runner's check sum is over what it sent.
 */
async function* searched(deps: RunnerCallDeps, request: IncomingMessage, job: JobId): AsyncGenerator<Buffer> {
  const scanner = (await isOfJob(deps, request, job)) ? deps.leaks : deps.newScanner();
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk;
    await scanner.scan(job, bytes);
    yield bytes;
  }
}

/** Anybody may send pieces of any job's trace: a stranger's neither stand between two of the runner's, nor fill the memory. */
async function isOfJob({ jobs }: RunnerCallDeps, { headers }: IncomingMessage, job: JobId): Promise<boolean> {
  const token = headers['job-token'];
  if (typeof token !== 'string' || token === '') return false;
  const known = await jobs.byToken(null, new Secret(token).digest());
  return known?.id === job && known.state !== 'ended';
}

/** The job that a runner reports about; undefined = it is none of its calls. */
export function reportedJob(method: string, path: string): JobId | undefined {
  if (!path.startsWith('/api/v4/jobs/')) return undefined;
  const [, id, rest] = /^\/api\/v4\/jobs\/(\d{1,15})(\/trace)?$/.exec(path) ?? [];
  if (id === undefined) return undefined;
  return (method === 'PUT' && rest === undefined) || (method === 'PATCH' && rest !== undefined) ? parseId<JobId>(id) : undefined;
}

function runnerTokenOf(request: IncomingMessage, body: Buffer): Secret | undefined {
  const header = request.headers['runner-token'];
  if (typeof header === 'string' && header !== '') return new Secret(header);
  const { token } = fieldsOf(parsed(body));
  return typeof token === 'string' && token !== '' ? new Secret(token) : undefined;
}

/** @returns undefined where the payload is none that we know */
function handedOut(payload: Buffer): HandedOut | undefined {
  const job = fieldsOf(parsed(payload));
  const { id, token, variables, dependencies } = job;
  const projectId = fieldsOf(job['job_info'])['project_id'];
  const timeout = fieldsOf(job['runner_info'])['timeout'];
  if (typeof id !== 'number' || typeof token !== 'string' || typeof projectId !== 'number' || 'extended_job_token' in job) return undefined;
  const known = listOf(variables).map(fieldsOf);
  const ids = listOf(dependencies).map((dependency) => parseId<JobId>(String(fieldsOf(dependency)['id'])));
  const jobId = parseId<JobId>(String(id));
  if (jobId === undefined || ids.includes(undefined)) return undefined;
  return {
    id: jobId,
    token: new Secret(token),
    projectId,
    timeoutSeconds: typeof timeout === 'number' && timeout > 0 ? timeout : 3600,
    variables: (name) => known.flatMap(({ key, value }) => (key === name && typeof value === 'string' ? [value] : [])),
    artifactJobs: ids.filter((one) => one !== undefined),
    hasInputs: listOf(job['inputs']).length > 0 || Object.keys(fieldsOf(job['inputs'])).length > 0,
  };
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
