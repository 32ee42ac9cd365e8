import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { AnswerChange } from './forwarder.ts';

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {});

/**
 * A batch answer without the forge's own LFS credential, and without signed URLs of its storage, which would outlive the job (R5): the client sends its
 * pass again, to our address. @see git-lfs docs/api/batch.md; GitLab, `lfs_batch_direct_downloads`
 * @param objects our URL of the project's objects
 */
export function lfsAnswer(external: (url: string) => string, objects: string): AnswerChange {
  return {
    kind: 'body',
    maxBytes: 4 * limits.jsonBodyBytes,
    async rewrite(body) {
      return { body: Buffer.from(JSON.stringify(rewritten(body, external, objects))) };
    },
  };
}

function rewritten(body: Buffer, external: (url: string) => string, objects: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new JobpassError('upstream_failed', 'The forge answered a large-file batch with something else than JSON.');
  }
  const answer = fieldsOf(value);
  if (!Array.isArray(answer['objects'])) return answer;
  return { ...answer, objects: answer['objects'].map((object: unknown) => withoutCredential(fieldsOf(object), external, objects)) };
}

function withoutCredential(object: Fields, external: (url: string) => string, objects: string): Fields {
  const { authenticated: _authenticated, actions, ...rest } = object;
  if (actions === undefined) return rest;
  const kept = Object.entries(fieldsOf(actions)).map(([name, action]) => {
    const { href, header, ...more } = fieldsOf(action);
    const headers = Object.entries(fieldsOf(header)).filter(([key]) => key.toLowerCase() !== 'authorization');
    const own = typeof href === 'string' ? external(href) : href;
    const to = name === 'download' ? `${objects}/${String(object['oid'])}` : own;
    return [name, { ...more, href: to, header: Object.fromEntries(headers) }] as const;
  });
  return { ...rest, actions: Object.fromEntries(kept) };
}
