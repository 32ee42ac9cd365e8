import { isoTime } from '../../base/clock.ts';
import type { PushEvent } from '../../forge/events.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { ApiDeps, RouteTable } from './route.ts';

/** What moved in a project: pushes only, as nothing else happens here that GitLab calls an event. @see GitLab REST API, "Events" */
export function eventRoutes({ forge }: ApiDeps): RouteTable {
  return {
    'GET /api/v4/projects/:id/events': async ({ grant, project, params, url }) => {
      const page = pageOf(params);
      const action = params.optionalText('action') ?? 'pushed';
      const found = await forge.events.pushes(grant, project.id, page);
      const rows = action === 'pushed' ? found.rows.map((event) => pushEvent(project.id, event)) : [];
      return { body: rows, headers: pageHeaders(page, action === 'pushed' ? found.total : 0, url) };
    },
  };
}

function pushEvent(project: number, event: PushEvent) {
  const action = event.from === null ? 'created' : event.to === null ? 'removed' : 'pushed';
  return {
    id: event.id,
    project_id: project,
    action_name: action === 'created' ? 'pushed new' : action === 'removed' ? 'deleted' : 'pushed to',
    target_id: null,
    target_type: null,
    target_title: null,
    author_id: event.authorId,
    author_username: event.authorUsername,
    created_at: isoTime(event.at),
    push_data: { action, ref_type: event.refType, commit_from: event.from, commit_to: event.to, ref: event.ref },
  };
}
