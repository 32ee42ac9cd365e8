import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';

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
