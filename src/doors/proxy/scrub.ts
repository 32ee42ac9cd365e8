import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { AnswerChange, AnswerHead } from './forwarder.ts';
import { pairs, type RawHeaders } from './headers.ts';
import { type RedirectOptions, storageUrl } from './redirects.ts';

/** Fields of GitLab's answers that are credentials, or lead to one; no pass reads them (R5). @see the never-allowed list */
const secrets = new Set([
  'runners_token',
  'registration_token',
  'token',
  'runner_token',
  'ci_job_token',
  'private_token',
  'import_url',
  'mirror_user_password',
  'feed_token',
  'incoming_email_token',
  'static_object_token',
  'rss_token',
  'two_factor_secret',
  'service_desk_address',
  'password',
  'secret_token',
  'webhook_secret_token',
  'trigger_token',
  'deploy_token',
]);

/**
 * Every answer to a pass: no session begins with it, its URLs are on the external address, and where it sends the client away is looked at.
 * @param external upstream's own address → ours
 */
export function carriedAnswers(external: (url: string) => string, redirects: RedirectOptions) {
  return (head: AnswerHead, change: AnswerChange | undefined): AnswerChange => {
    const location = [...pairs(head.headers)].find(([name]) => name.toLowerCase() === 'location')?.[1];
    const stored = location === undefined || !/^30[12378]$/.test(String(head.status)) ? undefined : storageUrl(redirects, location);
    if (stored !== undefined) return { kind: 'follow', url: stored };
    if (change?.kind !== 'body') return { kind: 'headers', headers: scrubbedHeaders(external, head.headers) };
    return {
      ...change,
      async rewrite(body) {
        const answer = await change.rewrite(body);
        return { ...answer, headers: scrubbedHeaders(external, answer.headers ?? head.headers) };
      },
    };
  };
}

function scrubbedHeaders(external: (url: string) => string, headers: RawHeaders): string[] {
  const kept: string[] = [];
  for (const [name, value] of pairs(headers)) {
    switch (name.toLowerCase()) {
      case 'set-cookie':
        continue;
      case 'location':
      case 'content-location':
        kept.push(name, external(value));
        continue;
      case 'link':
      case 'www-authenticate':
        kept.push(name, value.replace(/https?:\/\/[^>"]*/g, external));
        continue;
      default:
        kept.push(name, value);
    }
  }
  return kept;
}

/** What the forge shows of other groups and projects beside one of them, as far as its one user sees those. */
const ofOthers = ['projects', 'shared_projects', 'shared_with_groups', 'forked_from_project', 'downstream_pipeline'];
/** Of a schedule, what only those see who may change it; no pass may. */
const ofSchedules = ['variables', 'inputs'];

/**
 * Fields of the answer's things that are left out beside the secrets.
 * @param narrow the pass may see less than the forge's one user (R3, R4)
 */
export function hiddenFields(endpoint: string, narrow: boolean): ReadonlySet<string> {
  return new Set([...(narrow ? ofOthers : []), ...(endpoint.includes('/pipeline_schedules') ? ofSchedules : [])]);
}

/** @param body JSON: one thing, or a list of them */
export function withoutFields(body: Buffer, hidden: ReadonlySet<string>): Buffer {
  if (body.length === 0 || hidden.size === 0) return body;
  const value: unknown = JSON.parse(body.toString('utf8'));
  const without = (one: unknown): unknown =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).filter(([name]) => !hidden.has(name)))
      : one;
  return Buffer.from(JSON.stringify(Array.isArray(value) ? value.map(without) : without(value)));
}

/**
 * An answer for a pass: JSON without the fields that are secrets, its URLs on the external address.
 * @param external upstream's own address → ours
 */
export function scrubbed(external: (url: string) => string): (body: Buffer) => Buffer {
  const clean = (value: unknown, depth: number): unknown => {
    if (typeof value === 'string') return external(value);
    if (typeof value !== 'object' || value === null) return value;
    if (depth > limits.jsonDepth) throw new JobpassError('upstream_failed', "The forge's answer nests too deep.");
    if (Array.isArray(value)) return value.map((inner) => clean(inner, depth + 1));
    const kept = Object.entries(value).filter(([name]) => !secrets.has(name));
    return Object.fromEntries(kept.map(([name, inner]) => [name, clean(inner, depth + 1)]));
  };
  return (body) => {
    if (body.length === 0) return body;
    let value: unknown;
    try {
      value = JSON.parse(body.toString('utf8'));
    } catch (error) {
      throw new JobpassError('upstream_failed', 'The forge answered something else than the JSON that it announced.', error);
    }
    return Buffer.from(JSON.stringify(clean(value, 0)));
  };
}
