import { JobpassError } from '../../base/errors.ts';
import { parseId } from '../../base/ids.ts';
import type { Grant } from '../../pass/grant.ts';
import type { MergeRequestId, NoteId } from '../../ports/merge-requests.ts';
import { checkText } from '../proxy/params.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { note } from './present-merge-request.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const N = '/api/v4/projects/:id/merge_requests/:iid/notes';

/** Of merge requests; what has a thread elsewhere is a note by itself here. @see GitLab REST API, "Notes", "Discussions" */
export function noteRoutes(deps: ApiDeps): RouteTable {
  const { mergeRequests } = deps.forge;
  const iidOf = (call: Call): number => parseId<MergeRequestId>(call.path('iid')) ?? gone();
  const requestOf = async (call: Call) => (await mergeRequests.one(call.grant, call.project.id, iidOf(call))) ?? gone();
  const listed = async (call: Call) => {
    const page = pageOf(call.params);
    const found = (await mergeRequests.notes(call.grant, call.project.id, iidOf(call), page)) ?? gone();
    const request = await requestOf(call);
    return {
      notes: await Promise.all(found.rows.map((each) => note(deps, request, each))),
      headers: pageHeaders(page, found.total, call.url),
    };
  };
  const change = async (call: Call, body: string | null) => {
    const { grant, project } = call;
    return (await mergeRequests.changeNote(grant, project.id, iidOf(call), numberOf(call), body)) ?? gone('Note');
  };
  return {
    [`GET ${N}`]: async (call) => {
      const { notes, headers } = await listed(call);
      return { body: notes, headers };
    },
    [`GET /api/v4/projects/:id/merge_requests/:iid/discussions`]: async (call) => {
      const { notes, headers } = await listed(call);
      return { body: notes.map((one) => ({ id: String(one.id).padStart(40, '0'), individual_note: true, notes: [one] })), headers };
    },
    [`POST ${N}`]: async (call) => {
      refuseActions(call.grant, call.params);
      const made = await mergeRequests.addNote(call.grant, call.project.id, iidOf(call), call.params.text('body'));
      return { body: await note(deps, await requestOf(call), made ?? gone()) };
    },
    [`GET ${N}/:note_id`]: async (call) => {
      const found = (await mergeRequests.note(call.grant, call.project.id, iidOf(call), numberOf(call))) ?? gone('Note');
      return { body: await note(deps, await requestOf(call), found) };
    },
    [`PUT ${N}/:note_id`]: async (call) => {
      refuseActions(call.grant, call.params);
      return { body: await note(deps, await requestOf(call), await change(call, call.params.text('body'))) };
    },
    [`DELETE ${N}/:note_id`]: async (call) => {
      await change(call, null);
      return { status: 204 };
    },
  };
}

/** Quick actions are stored as they are and never carried out; a pass may not even write one, nor ask for what is done later (R5, A62). */
export function refuseActions(grant: Grant, params: Params): void {
  if (grant.identity.kind !== 'pass') return;
  const fields = ['title', 'description', 'body', 'merge_when_pipeline_succeeds', 'auto_merge'];
  checkText(Object.fromEntries(fields.flatMap((field) => (params.given(field) ? [[field, params.optionalText(field) ?? '']] : []))));
}

const numberOf = (call: Call): number => parseId<NoteId>(call.path('note_id')) ?? gone('Note');

function gone(what = 'Merge request'): never {
  throw new JobpassError('not_found', { what });
}
