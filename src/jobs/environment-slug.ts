import { createHash } from 'node:crypto';

const longest = 24;

/** `CI_ENVIRONMENT_SLUG`: fit for a host name, and another one for each name. @see GitLab CI/CD, "Predefined variables" */
export function environmentSlug(name: string): string {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');
  const begun = (/^[a-z]/.test(plain) ? plain : `env-${plain}`).replaceAll(/-+/g, '-');
  if (begun === name && begun.length <= longest) return begun;
  // What was changed or cut could be another name's slug.
  const digest = BigInt(`0x${createHash('sha256').update(name).digest('hex')}`)
    .toString(36)
    .slice(-6);
  const short = begun.slice(0, longest - 7);
  return `${short}${short.endsWith('-') ? '' : '-'}${digest}`;
}
