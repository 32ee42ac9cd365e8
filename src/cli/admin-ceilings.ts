import type { ApiClient } from './api-client.ts';
import { type Flags, usage } from './command.ts';

/** `jobpass admin ceiling …`: what passes may do at most (R4). Each is one call of the API. */
export const ceilingVerbs: Readonly<Record<string, (api: ApiClient, flags: Flags, rest: readonly string[]) => Promise<unknown>>> = {
  'ceiling show': (api, _flags, rest) => api.call('GET', pathOf(rest)),
  'ceiling set': (api, flags, rest) => {
    const projects = flags.text('projects');
    return api.call('PUT', pathOf(rest), {
      permissions: words(flags.required('permissions')),
      ...(projects === undefined ? {} : { projects: words(projects) }),
    });
  },
  'ceiling remove': (api, _flags, rest) => api.call('DELETE', pathOf(rest)),
};

export const ceilingHelp = `  ceiling show|remove PLACE                      PLACE: instance, group PATH, project PATH, or my (of the token's own user)
  ceiling set PLACE --permissions LIST [--projects LIST]
                                                 what passes may do there at most: code:*,release:write … in group/app, group/* …
`;

function pathOf([level, name, ...more]: readonly string[]): string {
  const named = level === 'group' || level === 'project';
  if (more.length > 0 || named !== (name !== undefined)) return wrong();
  if (level === 'instance') return '/api/v4/jobpass/ceiling';
  if (level === 'my') return '/api/v4/user/jobpass/ceiling';
  return named ? `/api/v4/${level}s/${encodeURIComponent(name ?? '')}/jobpass/ceiling` : wrong();
}

function wrong(): never {
  return usage('say whose ceiling: instance, group PATH, project PATH, or my');
}

/** Separated by commas or spaces. */
function words(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}
