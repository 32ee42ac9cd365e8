import { endpoints, type Endpoint } from '../../src/policy/endpoints.ts';
import { type Permission, permissionRule } from '../../src/policy/permissions.ts';
import type { Answer, Ask, Caller, Person, Place } from './oracle.ts';
import type { Params, Target, World } from './world.ts';

/** How one row of the endpoint table is called so that it could succeed. */
export interface Sample {
  /** Status where every access is allowed; 201 for POST and 200 else. */
  readonly ok?: number;
  /** The accesses in the order in which they are decided, where they are not just the row's. */
  readonly asks?: readonly Permission[];
  /** The same of the ordinary job token, where that differs. */
  readonly jobAsks?: readonly Permission[];
  /** Values that the path needs beside the target's own. */
  readonly params?: Params;
  readonly query?: string;
  readonly body?: (params: Params) => unknown;
  /** A body that is not JSON. */
  readonly raw?: { readonly type: string; readonly text: string; readonly range?: string };
  /** Makes what the call will change, as the administrator or, where it must be the caller's own, by `headers`. Done for each call that is going to be allowed. */
  readonly fresh?: (world: World, target: Target, person: Person, headers: Readonly<Record<string, string>>) => Promise<Params>;
  /** What a full pass hears although the rules allow it, and why: a row of docs/differences.md. */
  readonly pass?: { readonly status: number; readonly why: string };
}

export type Samples = Readonly<Record<string, Sample>>;

export type DoorName = 'api' | 'git' | 'registry' | 'lfs' | 'runner' | 'oauth';
export const nameOf = (row: Endpoint): string => `${row.method} ${row.path}`;

export function doorOf(row: Endpoint): DoorName {
  if (row.path.startsWith('/-/jobpass/oauth/')) return 'oauth';
  if (/^\/\*\.git\/(?:info\/lfs|gitlab-lfs)\//.test(row.path)) return 'lfs';
  if (row.path.startsWith('/*.git/')) return 'git';
  if (/^\/v2(?:$|\/)/.test(row.path) || row.path === '/jwt/auth') return 'registry';
  const runners = [
    'POST /api/v4/runners',
    'POST /api/v4/runners/verify',
    'POST /api/v4/runners/reset_authentication_token',
    'DELETE /api/v4/runners',
    'DELETE /api/v4/runners/managers',
    'GET /api/v4/runners/router/discovery',
  ];
  return row.path.startsWith('/api/v4/jobs/') || runners.includes(nameOf(row)) ? 'runner' : 'api';
}

/** `WALK=schedules,/projects$ npx vitest run test/walk` walks those rows only, while one works on them; `$` is the end of a row's name. */
const only = (process.env['WALK'] ?? '').split(',');
const chosen = (row: Endpoint): boolean => only.some((part) => `${nameOf(row)}$`.includes(part));

/** Rows of these doors, with their samples. @throws where a row has none: a route outside the walk is a route outside the proof */
export function rowsWith(samples: Samples, belongs: (row: Endpoint) => boolean): readonly (readonly [Endpoint, Sample])[] {
  return endpoints
    .filter((row) => belongs(row) && chosen(row))
    .map((row) => {
      const sample = samples[nameOf(row)];
      if (sample === undefined)
        throw new Error(`${nameOf(row)} has no sample: add one in test/walk/samples/ that says how to call it so that it could succeed.`);
      return [row, sample] as const;
    });
}

export function asksOf(row: Endpoint, sample: Sample, target: Target, absent: boolean, kind?: Caller['kind']): readonly Ask[] {
  const asks = (kind === 'job' ? sample.jobAsks : undefined) ?? sample.asks ?? row.permissions;
  return asks.map((permission) => [permission, placeOf(permission, target, absent)] as const);
}

function placeOf(permission: Permission, target: Target, absent: boolean): Place {
  const { on } = permissionRule(permission);
  if (on === 'instance' || on === 'user') return { kind: on };
  if (absent) return { kind: 'absent' };
  return on === 'group' ? target.group : target.project;
}

export function pathOf(row: Endpoint, sample: Sample, params: Params): string {
  const path = row.path
    .replaceAll(/:(\w+)/g, (_all, name: string) => encodeURIComponent(params[name] ?? `no-${name}`))
    .replace('*', params['*'] ?? '');
  return sample.query === undefined ? path : `${path}?${sample.query}`;
}

/** A row's status for an answer of the rules, in the words of its door. */
export function statusOf(row: Endpoint, sample: Sample, answer: Answer, anonymous: boolean): number {
  if (answer === 'ok') return sample.ok ?? (row.method === 'POST' ? 201 : 200);
  // git, git-lfs and docker send their credential only once they are asked for it.
  if (['git', 'lfs', 'registry'].includes(doorOf(row)) && anonymous) return 401;
  // git-lfs would send a dead pass again and again at 401.
  if (doorOf(row) === 'lfs' && answer === 'unauthenticated') return 403;
  return { unauthenticated: 401, forbidden: 403, missing: 404 }[answer];
}
