import { isJobpassError } from '../../base/errors.ts';
import type { UpstreamAnswer, UpstreamClient } from './client.ts';
import { type Fields, fieldsOf, listOf, textOf } from './json.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'problem';
  /** What was looked at: `admin token`. */
  readonly what: string;
  /** What was found. */
  readonly says: string;
  /** What to change; nothing for `ok`. */
  readonly advice?: string;
}

/** What the gateway is told, as far as the doctor looks at it. */
export interface DoctorFacts {
  readonly upstream: string;
  /** The canonical external origin. */
  readonly external: string;
  readonly allowPlainHttp: boolean;
  readonly principals: 'intersect' | 'starter';
  readonly acting: 'impersonation' | 'sudo';
  /** Ids of runners that the settings name. */
  readonly namedRunners: readonly number[];
  readonly trustedRunners: readonly number[];
  readonly now: number;
}

const oldestVersion = [17, 0] as const;
const skewMs = 30_000;
const soonMs = 14 * 24 * 3600_000;

const ok = (what: string, says: string): Finding => ({ level: 'ok', what, says });
const warning = (what: string, says: string, advice: string): Finding => ({ level: 'warning', what, says, advice });
const problem = (what: string, says: string, advice: string): Finding => ({ level: 'problem', what, says, advice });

/** Looks at the forge and the settings, and says what is right and what to change. It makes one token for the administrator itself, and revokes it. */
export async function examine(client: UpstreamClient, facts: DoctorFacts): Promise<readonly Finding[]> {
  const findings = [...addresses(facts), ...whoseRights(facts)];
  let version: UpstreamAnswer;
  try {
    version = await client.ask('GET', '/version');
  } catch (error) {
    return [...findings, problem('forge', whyOf(error), `Check --upstream (${facts.upstream}), --upstream-ca and --admin-token-file.`)];
  }
  findings.push(versionOf(version), clockOf(version, facts.now));
  for (const look of [tokenOf, adminOf, settingsOf, impersonationOf, historyOf, runnersOf] as const) {
    try {
      findings.push(...(await look(client, facts)));
    } catch (error) {
      if (!isJobpassError(error)) throw error;
      findings.push(problem('forge', whyOf(error), 'Try again when it answers.'));
    }
  }
  return findings;
}

/** @returns why the forge gives no pass now; undefined where it answers an administrator's token */
export async function looksReady(client: UpstreamClient): Promise<string | undefined> {
  try {
    const { body } = await client.ask('GET', '/user');
    return fieldsOf(body)['is_admin'] === true ? undefined : "The admin token is no administrator's.";
  } catch (error) {
    return whyOf(error);
  }
}

/** With what the system said of it: a wrong name, a port where nothing listens and a certificate look alike else. */
function whyOf(error: unknown): string {
  if (!isJobpassError(error)) return 'it does not answer';
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const said = cause instanceof Error && cause.message !== '' ? cause.message : code;
  return `${error.message.replace(/: see `jobpass gateway doctor`/, '')}${said === '' ? '' : ` (${said})`}`;
}

function addresses({ upstream, external, allowPlainHttp }: DoctorFacts): readonly Finding[] {
  const plain = (url: string): boolean => url.startsWith('http:') && !/^http:\/\/(?:127\.|localhost|\[::1\])/.test(url);
  const findings: Finding[] = [];
  if (plain(external))
    findings.push(
      problem(
        'external URL',
        `${external} is plain HTTP: passes are refused over it`,
        'Give --tls-cert and --tls-key, or let a proxy on this machine do TLS and give its https address as --external-url.',
      ),
    );
  else findings.push(ok('external URL', external));
  if (plain(upstream))
    findings.push(
      problem(
        'upstream',
        `${upstream} is plain HTTP: the admin token and users' tokens would travel unencrypted`,
        'Use its https address, with --upstream-ca for an authority of your own.',
      ),
    );
  if (allowPlainHttp) findings.push(warning('plain HTTP', '--allow-plain-http is set', 'Use it in a lab only.'));
  return findings;
}

/** What the instance's choice of principals gives up (R3); the same for a server of its own. */
export function whoseRights({ principals }: Pick<DoctorFacts, 'principals'>): readonly Finding[] {
  if (principals === 'intersect') return [ok('principals', 'a pass has what everybody with a hand in the job may do')];
  return [
    warning(
      'principals',
      "starter: nobody but who started a job is looked at. Whoever can push to a branch on which somebody else starts a job borrows all of that person's rights",
      'Leave --principals out, unless everybody who can push anywhere is trusted with everything.',
    ),
  ];
}

function versionOf({ status, body }: UpstreamAnswer): Finding {
  const text = textOf(fieldsOf(body)['version']);
  const [major = 0, minor = 0] = (text ?? '').split('.').map((part) => Number.parseInt(part, 10));
  if (status !== 200 || text === undefined)
    return problem('version', `the forge does not tell (${status})`, 'The admin token needs scope api.');
  const [wantedMajor, wantedMinor] = oldestVersion;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor))
    return warning('version', `GitLab ${text}`, `Older than ${oldestVersion.join('.')}: not known to work.`);
  return ok('version', `GitLab ${text}`);
}

function clockOf(answer: UpstreamAnswer, now: number): Finding {
  const skew = now - Date.parse(answer.header('date') ?? '');
  if (Number.isNaN(skew))
    return warning('clock', 'the forge does not tell its time', 'Check that nothing between takes the Date header away.');
  return Math.abs(skew) > skewMs
    ? warning('clock', `the two clocks are ${Math.round(Math.abs(skew) / 1000)} s apart`, 'Let both machines follow NTP.')
    : ok('clock', 'the two clocks agree');
}

async function tokenOf(client: UpstreamClient, { now, acting }: DoctorFacts): Promise<readonly Finding[]> {
  const { status, body } = await client.ask('GET', '/personal_access_tokens/self');
  const fields = fieldsOf(body);
  const scopes = Array.isArray(fields['scopes']) ? fields['scopes'].map(String) : [];
  if (status !== 200 || !scopes.includes('api'))
    return [
      problem(
        'admin token',
        `its scopes are ${scopes.join(', ') || 'not told'}`,
        'Make a personal access token of an administrator with scope api.',
      ),
    ];
  if (acting === 'sudo' && !scopes.includes('sudo'))
    return [problem('admin token', `its scopes are ${scopes.join(', ')}`, 'With --acting sudo it needs scope sudo, too.')];
  const expires = textOf(fields['expires_at']);
  const left = expires === undefined ? Infinity : Date.parse(expires) - now;
  return left < soonMs
    ? [
        warning(
          'admin token',
          `expires on ${expires ?? ''}`,
          'Make a new one in good time, and write it to the same file: the gateway reads it again.',
        ),
      ]
    : [ok('admin token', `scopes ${scopes.join(', ')}${expires === undefined ? '' : `, until ${expires}`}`)];
}

async function adminOf(client: UpstreamClient): Promise<readonly Finding[]> {
  const { body } = await client.ask('GET', '/user');
  if (fieldsOf(body)['is_admin'] !== true)
    return [
      problem(
        'administrator',
        `${textOf(fieldsOf(body)['username']) ?? "the token's user"} is no administrator`,
        'Use the token of an administrator.',
      ),
    ];
  const settings = await client.ask('GET', '/application/settings');
  return settings.status === 200
    ? [ok('administrator', textOf(fieldsOf(body)['username']) ?? '')]
    : [
        problem(
          'administrator',
          'the forge has Admin Mode on, and the token does not reach it',
          'Make the token with scopes api and admin_mode.',
        ),
      ];
}

function adminModeIn(settings: Fields, { acting }: DoctorFacts): Finding {
  if (acting === 'sudo')
    return warning(
      'Admin Mode',
      'with --acting sudo jobs that administrators start get no pass',
      'Leave --acting out, where they should: the admin token would lend its own power.',
    );
  return settings['admin_mode'] === true
    ? ok('Admin Mode', 'on: jobs that administrators start get a pass, with the rights of their own roles')
    : warning(
        'Admin Mode',
        'off: jobs that administrators start get no pass',
        'Switch it on, where they should (Admin, Settings, General, Sign-in restrictions), and give the admin token scope admin_mode.',
      );
}

/** Each of them counts all that the gateway asks as the administrator. @see GitLab API, application settings: `project_api_limit`, `group_api_limit`; `throttle_authenticated_api_enabled` */
function limitsIn(settings: Fields): readonly Finding[] {
  const found = ['project_api_limit', 'group_api_limit'].flatMap((name) => {
    const limit = settings[name];
    return typeof limit === 'number' && limit > 0 ? [`${name} is ${limit} a minute`] : [];
  });
  if (settings['throttle_authenticated_api_enabled'] === true)
    found.push(
      `throttle_authenticated_api allows ${String(settings['throttle_authenticated_api_requests_per_period'])} requests in ${String(settings['throttle_authenticated_api_period_in_seconds'])} s`,
    );
  if (found.length === 0) return [];
  return [
    warning(
      'rate limits',
      `${found.join('; ')}: the gateway asks who is who as one user, for all passes together. Beyond it passes are refused for a while`,
      'Set them to 0, or well above what you expect: each project in use is asked about up to 30 times a minute (Admin, Settings, Network). From throttle_authenticated_api, GITLAB_THROTTLE_USER_ALLOWLIST exempts the administrator.',
    ),
  ];
}

/** More than that at once nobody pushes by hand. */
const fewRefs = 100;

async function settingsOf(client: UpstreamClient, facts: DoctorFacts): Promise<readonly Finding[]> {
  const { status, body } = await client.ask('GET', '/application/settings');
  const settings = fieldsOf(body);
  // Not told is said of the administrator.
  const findings: Finding[] = status === 200 ? [adminModeIn(settings, facts)] : [];
  const minutes = settings['container_registry_token_expire_delay'];
  if (typeof minutes === 'number' && minutes > 1)
    findings.push(
      warning(
        'registry token',
        `lives ${minutes} minutes: an image token outlives its job by as much`,
        'Set "Authorization token duration" of the container registry to 1 minute (Admin, CI/CD, Container Registry).',
      ),
    );
  else if (typeof minutes === 'number') findings.push(ok('registry token', 'lives 1 minute'));
  const refs = settings['push_event_activities_limit'];
  if (typeof refs === 'number' && refs < fewRefs)
    findings.push(
      warning(
        'push events',
        `a push of more than ${refs} branches or tags is one event without their names: who made it counts behind whatever comes to an unprotected branch later`,
        `Set push_event_activities_limit to ${fewRefs} or more (PUT /application/settings; Admin, Settings, Network, Performance optimization).`,
      ),
    );
  findings.push(...limitsIn(settings));
  const own = textOf(fieldsOf((await client.ask('GET', '/user')).body)['web_url']);
  const origin = own !== undefined && URL.canParse(own) ? new URL(own).origin : undefined;
  if (origin !== undefined && origin !== facts.external)
    findings.push(
      warning(
        'addresses',
        `the forge calls itself ${origin}: links that it makes lead past the gateway`,
        `Set its external_url to ${facts.external}, and let only the gateway reach it.`,
      ),
    );
  return findings;
}

/** Whether tokens to act with can be made: some forges have that switched off. */
async function impersonationOf(client: UpstreamClient, { now }: DoctorFacts): Promise<readonly Finding[]> {
  const user = fieldsOf((await client.ask('GET', '/user')).body)['id'];
  const at = `/users/${typeof user === 'number' ? user : 0}/impersonation_tokens`;
  const expires = new Date(now + 24 * 3600_000).toISOString().slice(0, 10);
  const made = await client.ask('POST', at, { name: 'jobpass doctor', scopes: ['read_user'], expires_at: expires });
  const id = fieldsOf(made.body)['id'];
  if (made.status !== 201 || typeof id !== 'number')
    return [
      problem(
        'impersonation',
        `the forge makes no impersonation tokens (${made.status})`,
        "Take impersonation_enabled: false out of its configuration (gitlab_rails['impersonation_enabled']).",
      ),
    ];
  await client.ask('DELETE', `${at}/${id}`);
  return [ok('impersonation', 'tokens to act with can be made and revoked')];
}

/** Whether who pushed what can be told, and which pipeline started another: without it jobs fetch their own project only (R3). */
async function historyOf(client: UpstreamClient): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const [project] = listOf((await client.ask('GET', '/projects?per_page=1&order_by=last_activity_at')).body);
  const id = project?.['id'];
  if (typeof id === 'number') {
    const { status } = await client.ask('GET', `/projects/${id}/events?action=pushed&per_page=1`);
    findings.push(
      status === 200
        ? ok('pushers', 'push events are told: who wrote what runs is known')
        : problem(
            'pushers',
            `push events are not told (${status})`,
            'Without them each job fetches its own project only: the admin token needs scope api.',
          ),
    );
  }
  const told = fieldsOf(fieldsOf(await client.graphql('{ currentUser { id } }', {}).catch(() => undefined))['data'])['currentUser'];
  findings.push(
    typeof told === 'object' && told !== null
      ? ok('triggered pipelines', 'GraphQL tells which pipeline started another')
      : warning(
          'triggered pipelines',
          'GraphQL does not answer',
          'Jobs of pipelines that another project started fetch their own project only. Let the gateway reach /api/graphql.',
        ),
  );
  return findings;
}

async function runnersOf(client: UpstreamClient, facts: DoctorFacts): Promise<readonly Finding[]> {
  const known = new Map((await client.list('/runners/all', 5000)).map((row) => [Number(row['id']), row] as const));
  const missing = facts.namedRunners.filter((id) => !known.has(id));
  const findings = missing.map((id) =>
    problem('runner', `there is no runner ${id}`, 'Take it out of the settings: a later runner could get its number.'),
  );
  const trusted = facts.trustedRunners.filter((id) => known.has(id));
  if (trusted.length === 0)
    findings.push(ok('runners', `${known.size} known; none is trusted to show jobs their pass: all fetch with it, none exposes it`));
  else
    findings.push(
      ok(
        'runners',
        `${known.size} known; trusted to show jobs their pass: ${trusted.join(', ')}. Judge each one's file with \`jobpass gate --config\``,
      ),
    );
  return findings;
}
