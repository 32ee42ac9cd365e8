import type { Secret } from '../../base/secret.ts';

/** What the runner's git may log in with, and where. */
export interface GitCredential {
  readonly username: string;
  readonly password: Secret;
  /** `scheme://host[:port]`, the only places that get it (A19, A51). */
  readonly origins: readonly string[];
}

type Pairs = readonly (readonly [string, string])[];

/** Nothing of the machine's, the user's or the repository's own settings may make git run or trust anything (A53). */
const strict: Pairs = [
  ['credential.helper', ''],
  ['credential.interactive', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.sshCommand', '/bin/false'],
  ['http.followRedirects', 'false'],
  ['transfer.fsckObjects', 'true'],
  ['fetch.fsckObjects', 'true'],
  // Old commits of honest repositories have these; they harm nobody.
  ['fetch.fsck.zeroPaddedFilemode', 'ignore'],
  ['fetch.fsck.badTimezone', 'ignore'],
  ['fetch.fsck.missingSpaceBeforeDate', 'ignore'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['advice.detachedHead', 'false'],
  ['init.defaultBranch', 'main'],
];

const passedOn = [
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'GIT_SSL_CAINFO',
];

/** Environment of every git that the runner starts. Settings go by environment: argv is public, and keys may hold `=`. */
export function gitEnvironment(home: string, extra: Pairs = []): Record<string, string> {
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: home,
    LC_ALL: 'C.UTF-8',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '',
    SSH_ASKPASS: '',
    GIT_LFS_SKIP_SMUDGE: '1',
    // A repository's own `protocol.ext.allow` stands above `protocol.allow`, and nothing above this.
    GIT_ALLOW_PROTOCOL: '',
    GIT_NO_LAZY_FETCH: '1',
  };
  for (const name of passedOn) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  const pairs = [...strict, ...extra];
  env['GIT_CONFIG_COUNT'] = String(pairs.length);
  pairs.forEach(([key, value], index) => {
    env[`GIT_CONFIG_KEY_${index}`] = key;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  return env;
}

const originShape = /^https?:\/\/(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;

/**
 * Environment of a git that talks to a forge. The credential is in one variable of that process, and an inline helper gives it out for the exact
 * scheme, host and port alone: git matches the section's URL, the helper compares what it is asked (A18, A19, A51).
 */
export function fetchEnvironment(
  home: string,
  credential: GitCredential | undefined,
  caFile?: string,
  extra: Pairs = [],
): Record<string, string> {
  const pairs: (readonly [string, string])[] = [...extra];
  if (caFile !== undefined) pairs.push(['http.sslCAInfo', caFile]);
  for (const origin of credential?.origins ?? []) if (originShape.test(origin)) pairs.push([`credential.${origin}.helper`, helper(origin)]);
  const env = { ...gitEnvironment(home, pairs), GIT_ALLOW_PROTOCOL: 'http:https' };
  if (credential === undefined) return env;
  return { ...env, JOBPASS_GIT_USERNAME: credential.username, JOBPASS_GIT_PASSWORD: credential.password.reveal() };
}

/** Where git finds a name. @param address `HOST:PORT:ADDRESS,…` */
export function addressSetting(address: string | undefined): Pairs {
  return address === undefined ? [] : [['http.curloptResolve', address]];
}

function helper(origin: string): string {
  return [
    '!f() { test "$1" = get || exit 0; p=; h=;',
    'while IFS= read -r l; do case "$l" in protocol=*) p=${l#protocol=};; host=*) h=${l#host=};; esac; done;',
    `test "$p://$h" = '${origin}' || exit 0;`,
    String.raw`printf 'username=%s\npassword=%s\n' "$JOBPASS_GIT_USERNAME" "$JOBPASS_GIT_PASSWORD"; }; f`,
  ].join(' ');
}
