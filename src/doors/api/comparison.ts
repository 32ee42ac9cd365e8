import { JobpassError } from '../../base/errors.ts';
import { parseId, type ProjectId } from '../../base/ids.ts';
import type { ArchiveFormat, FileDiff } from '../../forge/comparison.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { commit } from './present.ts';
import type { ApiDeps, Handler, RouteTable } from './route.ts';

const R = '/api/v4/projects/:id/repository';
const mostRefs = 20;

/** @see GitLab REST API, "Repositories" */
export function comparisonRoutes({ forge, externalUrl }: ApiDeps): RouteTable {
  const archive =
    (format: ArchiveFormat): Handler =>
    async ({ grant, project, params, method }) => {
      const query = { ref: params.optionalText('sha'), path: params.optionalText('path') ?? '', format };
      const { name, body } = await forge.repository.archive(grant, project.id, query);
      const headers = {
        'content-type': 'application/octet-stream',
        'content-disposition': `attachment; filename="${name}"`,
        'content-security-policy': "default-src 'none'; sandbox",
      };
      if (method !== 'HEAD') return { stream: body, headers };
      body.destroy();
      return { headers, body: null };
    };
  return {
    [`GET ${R}/compare`]: async ({ grant, project, params, admit }) => {
      const given = params.optionalText('from_project_id');
      const fromProject = given === undefined || given === '' ? project.id : parseId<ProjectId>(given);
      if (fromProject === undefined) throw new ParamError('from_project_id is invalid');
      const [from, to, straight] = [params.text('from'), params.text('to'), params.flag('straight') ?? false];
      const readable = (id: ProjectId) => ({ permission: 'repository:read', resource: { kind: 'project', id } }) as const;
      // Both or none: what one of them may not show must not show in what they have between them (R3, A12).
      const both = fromProject === project.id ? grant : await admit([readable(project.id), readable(fromProject)]);
      const found = await forge.repository.compare(both, project.id, { from, to, straight, fromProject });
      const web = `${externalUrl}/${project.path}`;
      const commits = found.commits.map((one) => commit(web, one));
      return {
        body: {
          commit: commits.at(-1) ?? null,
          commits,
          diffs: found.diffs.map((one) => diffOf(one, params.flag('unidiff') ?? false)),
          compare_timeout: false,
          compare_same_ref: found.sameRef,
          web_url: `${web}/-/compare/${encodeURIComponent(from)}${straight ? '..' : '...'}${encodeURIComponent(to)}`,
        },
      };
    },
    [`GET ${R}/merge_base`]: async ({ grant, project, params }) => {
      const refs = params.texts('refs') ?? [];
      if (refs.length < 2 || refs.length > mostRefs) throw new ParamError(`refs must be at least 2 and at most ${mostRefs}`);
      const found = await forge.repository.mergeBase(grant, project.id, refs);
      if (found === undefined) throw new JobpassError('not_found', { what: 'Merge Base' });
      return { body: commit(`${externalUrl}/${project.path}`, found) };
    },
    [`GET ${R}/commits/:sha/diff`]: async ({ grant, project, params, path, url }) => {
      const page = pageOf(params);
      const diffs = await forge.repository.commitDiff(grant, project.id, path('sha'));
      const from = (page.page - 1) * page.perPage;
      return {
        body: diffs.slice(from, from + page.perPage).map((one) => diffOf(one, params.flag('unidiff') ?? false)),
        headers: pageHeaders(page, diffs.length, url),
      };
    },
    [`GET ${R}/archive`]: archive('tar.gz'),
    [`GET ${R}/archive.tar.gz`]: archive('tar.gz'),
    [`GET ${R}/archive.zip`]: archive('zip'),
  };
}

function diffOf({ oldPath, newPath, oldMode, newMode, kind, text }: FileDiff, unidiff: boolean) {
  const [a, b] = [kind === 'added' ? '/dev/null' : `a/${oldPath}`, kind === 'deleted' ? '/dev/null' : `b/${newPath}`];
  return {
    diff: text === null || text === '' ? '' : unidiff ? `--- ${a}\n+++ ${b}\n${text}` : text,
    new_path: newPath,
    old_path: oldPath,
    a_mode: oldMode === '000000' ? '0' : oldMode,
    b_mode: newMode === '000000' ? '0' : newMode,
    new_file: kind === 'added',
    renamed_file: kind === 'renamed',
    deleted_file: kind === 'deleted',
    generated_file: null,
    collapsed: false,
    too_large: text === null,
  };
}
