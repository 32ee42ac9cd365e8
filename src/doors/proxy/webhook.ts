import type { FastifyInstance } from 'fastify';
import { type JobId, parseId } from '../../base/ids.ts';
import { Secret } from '../../base/secret.ts';

export interface WebhookDeps {
  /** What the forge was told to send along; undefined = there is no webhook. */
  readonly secret: Secret | undefined;
  /** Asks the forge about a job at once. It can only end by that, never live longer. */
  readonly look: (job: JobId) => Promise<void>;
  /** Drops what is kept of roles, users and projects, so that the next question is asked anew. */
  readonly forget: () => void;
}

/** Jobs that one event may name; a pipeline's lists all of its. */
const most = 500;

/**
 * `POST /-/jobpass/webhook`: a forge's job, pipeline and system events make the gateway ask sooner than it would. Nothing that an event says is believed: a forged
 * one costs a question (R2, R13). @see GitLab, "Webhook events", "System hooks"
 */
export function registerWebhook(app: FastifyInstance, { secret, look, forget }: WebhookDeps): void {
  if (secret === undefined) return;
  const wanted = secret.digest();
  app.post('/-/jobpass/webhook', async (request, reply) => {
    const given = request.headers['x-gitlab-token'];
    if (typeof given !== 'string' || new Secret(given).digest() !== wanted)
      return reply.code(401).type('application/json').send('{"message":"401 Unauthorized"}');
    forget();
    await Promise.all(jobsIn(request.body).map(look));
    return reply.code(204).send();
  });
}

/** @returns the jobs that an event is about */
export function jobsIn(event: unknown): readonly JobId[] {
  const { object_kind: kind, build_id: build, builds } = fieldsOf(event);
  if (kind === 'build') return idsOf([build]);
  return kind === 'pipeline' && Array.isArray(builds) ? idsOf(builds.slice(0, most).map((one: unknown) => fieldsOf(one)['id'])) : [];
}

function idsOf(values: readonly unknown[]): readonly JobId[] {
  return values.flatMap((value) => (typeof value === 'number' ? (parseId<JobId>(String(value)) ?? []) : []));
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
