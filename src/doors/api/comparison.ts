import type { ArchiveFormat, FileDiff } from '../../forge/comparison.ts';
import { ParamError } from './errors.ts';
import { commit } from './present.ts';
import type { ApiDeps, Handler, RouteTable } from './route.ts';

const R = '/api/v4/projects/:id/repository';

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
    [`GET ${R}/compare`]: async ({ grant, project, params }) => {
      const other = params.optionalText('from_project_id');
      if (other !== undefined && other !== String(project.id))
        throw new ParamError('from_project_id is not supported: compare within one project');
      const [from, to, straight] = [params.text('from'), params.text('to'), params.flag('straight') ?? false];
      const found = await forge.repository.compare(grant, project.id, { from, to, straight });
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
