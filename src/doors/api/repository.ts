import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { DecideRefs } from '../../base/refs.ts';
import type { Grant } from '../../pass/grant.ts';
import type { CommitAction, RepositoryFile } from '../../forge/repository.ts';
import { signatureOf } from './actor.ts';
import { lastPipelineOf } from './commit-statuses.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { branch, commit, pipeline, tag } from './present.ts';
import type { Answer, ApiDeps, Call, Handler, RouteTable } from './route.ts';

const R = '/api/v4/projects/:id/repository';
const maxActions = 1000;

/** @see GitLab REST API, "Repositories", "Repository files", "Branches", "Tags", "Commits" */
export function repositoryRoutes(deps: ApiDeps): RouteTable {
  return { ...treeAndFiles(deps), ...branches(deps), ...tags(deps), ...commits(deps) };
}

/** Every ref that a request moves is decided and audited one by one. */
export function deciderOf(deps: ApiDeps, grant: Grant): DecideRefs {
  return (changes, again) => deps.gatekeeper.admitRefs(grant, changes, again);
}

const webOf = (deps: ApiDeps, call: Call): string => `${deps.externalUrl}/${call.project.path}`;

function treeAndFiles(deps: ApiDeps): RouteTable {
  const { repository } = deps.forge;
  const facts = async ({
    grant,
    project,
    params,
    path,
  }: Call): Promise<{ file: RepositoryFile; ref: string; headers: Record<string, string> }> => {
    const ref = params.optionalText('ref') ?? 'HEAD';
    const file = await repository.file(grant, project.id, path('file_path'), ref === 'HEAD' ? undefined : ref);
    const name = file.path.split('/').at(-1) ?? '';
    const headers = {
      'x-gitlab-blob-id': file.blobId,
      'x-gitlab-commit-id': file.commitId,
      'x-gitlab-last-commit-id': file.lastCommitId,
      'x-gitlab-content-sha256': file.sha256,
      'x-gitlab-encoding': 'base64',
      'x-gitlab-file-name': encodeURIComponent(name),
      'x-gitlab-file-path': encodeURIComponent(file.path),
      'x-gitlab-ref': encodeURIComponent(ref),
      'x-gitlab-size': String(file.sizeBytes),
      'x-gitlab-execute-filemode': String(file.executable),
    };
    return { file, ref, headers };
  };
  const write =
    (action: CommitAction['action']): Handler =>
    async (call): Promise<Answer> => {
      const { params, path, grant, project } = call;
      const startRef = params.optionalText('start_branch');
      const content = action === 'delete' ? undefined : contentOf(params, true);
      const lastCommitId = params.optionalText('last_commit_id');
      const executable = params.flag('execute_filemode');
      await repository.createCommit(
        grant,
        project.id,
        {
          branch: params.text('branch'),
          message: params.text('commit_message'),
          ...(startRef === undefined ? {} : { startRef }),
          actions: [
            {
              action,
              path: path('file_path'),
              ...(content === undefined ? {} : { content }),
              ...(executable === undefined ? {} : { executable }),
              ...(lastCommitId === undefined ? {} : { lastCommitId }),
            },
          ],
          author: await signatureOf(deps, grant),
        },
        deciderOf(deps, grant),
      );
      return action === 'delete' ? { status: 204 } : { body: { file_path: path('file_path'), branch: params.text('branch') } };
    };
  return {
    [`GET ${R}/tree`]: async ({ grant, project, params, url }) => {
      const page = pageOf(params);
      const [ref, path] = [params.optionalText('ref'), params.optionalText('path')];
      const found = await repository.tree(
        grant,
        project.id,
        { ...(ref === undefined ? {} : { ref }), ...(path === undefined ? {} : { path }), recursive: params.flag('recursive') ?? false },
        page,
      );
      return { body: found.rows, headers: pageHeaders(page, found.total, url) };
    },
    [`GET ${R}/files/:file_path`]: async (call) => {
      const { file, ref, headers } = await facts(call);
      if (call.method === 'HEAD') return { headers, body: null };
      const { sizeBytes, body } = await repository.blob(call.grant, call.project.id, file.blobId);
      if (sizeBytes > limits.blobReadBytes) {
        body.destroy();
        throw new JobpassError('too_large', 'This file is over 10 MiB; read it from …/raw.');
      }
      const parts: Buffer[] = [];
      for await (const chunk of body as AsyncIterable<Buffer>) parts.push(chunk);
      const name = file.path.split('/').at(-1) ?? '';
      return {
        headers,
        body: {
          file_name: name,
          file_path: file.path,
          size: file.sizeBytes,
          encoding: 'base64',
          content_sha256: file.sha256,
          ref,
          blob_id: file.blobId,
          commit_id: file.commitId,
          last_commit_id: file.lastCommitId,
          execute_filemode: file.executable,
          content: Buffer.concat(parts).toString('base64'),
        },
      };
    },
    [`GET ${R}/files/:file_path/raw`]: async (call) => {
      const { file, headers } = await facts(call);
      if (call.method === 'HEAD') return { headers, body: null };
      const { sizeBytes, body } = await repository.blob(call.grant, call.project.id, file.blobId);
      // Somebody's HTML must not run on our origin (A16).
      return {
        stream: body,
        headers: {
          ...headers,
          'content-type': 'application/octet-stream',
          'content-disposition': 'attachment',
          'content-security-policy': "default-src 'none'; sandbox",
          'content-length': String(sizeBytes),
        },
      };
    },
    [`POST ${R}/files/:file_path`]: write('create'),
    [`PUT ${R}/files/:file_path`]: async (call) => ({ ...(await write('update')(call)), status: 200 }),
    [`DELETE ${R}/files/:file_path`]: write('delete'),
  };
}

function branches(deps: ApiDeps): RouteTable {
  const { repository } = deps.forge;
  const canPush = (call: Call): boolean => call.grant.principals.length > 0;
  return {
    [`GET ${R}/branches`]: async (call) => {
      const page = pageOf(call.params);
      const found = await repository.branches(call.grant, call.project.id, call.params.optionalText('search'), page);
      return {
        body: found.rows.map((one) => branch(webOf(deps, call), one, canPush(call))),
        headers: pageHeaders(page, found.total, call.url),
      };
    },
    [`GET ${R}/branches/:branch`]: async (call) => {
      const one = await repository.branch(call.grant, call.project.id, call.path('branch'));
      if (one === undefined) throw new JobpassError('not_found', { what: 'Branch' });
      return { body: branch(webOf(deps, call), one, canPush(call)) };
    },
    [`POST ${R}/branches`]: async (call) => {
      const made = await repository.createBranch(
        call.grant,
        call.project.id,
        call.params.text('branch'),
        call.params.text('ref'),
        deciderOf(deps, call.grant),
      );
      return { body: branch(webOf(deps, call), made, canPush(call)) };
    },
    [`DELETE ${R}/branches/:branch`]: async (call) => {
      await repository.deleteBranch(call.grant, call.project.id, call.path('branch'), deciderOf(deps, call.grant));
      return { status: 204 };
    },
  };
}

function tags(deps: ApiDeps): RouteTable {
  const { repository } = deps.forge;
  return {
    [`GET ${R}/tags`]: async (call) => {
      const page = pageOf(call.params);
      const found = await repository.tags(call.grant, call.project.id, call.params.optionalText('search'), page);
      return { body: found.rows.map((one) => tag(webOf(deps, call), one, undefined)), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${R}/tags/:tag_name`]: async (call) => {
      const one = await repository.tag(call.grant, call.project.id, call.path('tag_name'));
      if (one === undefined) throw new JobpassError('not_found', { what: 'Tag' });
      return { body: tag(webOf(deps, call), one, undefined) };
    },
    [`POST ${R}/tags`]: async (call) => {
      const made = await repository.createTag(
        call.grant,
        call.project.id,
        call.params.text('tag_name'),
        call.params.text('ref'),
        call.params.optionalText('message'),
        await signatureOf(deps, call.grant),
        deciderOf(deps, call.grant),
      );
      return { body: tag(webOf(deps, call), made, undefined) };
    },
    [`DELETE ${R}/tags/:tag_name`]: async (call) => {
      await repository.deleteTag(call.grant, call.project.id, call.path('tag_name'), deciderOf(deps, call.grant));
      return { status: 204 };
    },
  };
}

function commits(deps: ApiDeps): RouteTable {
  const { repository } = deps.forge;
  return {
    [`GET ${R}/commits`]: async (call) => {
      const page = pageOf(call.params);
      const [ref, path] = [call.params.optionalText('ref_name'), call.params.optionalText('path')];
      const found = await repository.commits(
        call.grant,
        call.project.id,
        { ...(ref === undefined ? {} : { ref }), ...(path === undefined ? {} : { path }) },
        page,
      );
      return { body: found.rows.map((one) => commit(webOf(deps, call), one)), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${R}/commits/:sha`]: async (call) => {
      const one = await repository.commit(call.grant, call.project.id, call.path('sha'));
      if (one === undefined) throw new JobpassError('not_found', { what: 'Commit' });
      const last = await lastPipelineOf(deps, call, one.id);
      const web = webOf(deps, call);
      return {
        body: {
          ...commit(web, one),
          status: last?.status ?? null,
          last_pipeline: last === null ? null : pipeline(web, last),
          project_id: call.project.id,
        },
      };
    },
    [`GET ${R}/commits/:sha/refs`]: async (call) => {
      const page = pageOf(call.params);
      const type = call.params.oneOf('type', ['branch', 'tag', 'all']) ?? 'all';
      const one = await repository.commit(call.grant, call.project.id, call.path('sha'));
      if (one === undefined) throw new JobpassError('not_found', { what: 'Commit' });
      const found = (await repository.refsWith(call.grant, call.project.id, one.id)).filter((ref) => type === 'all' || ref.type === type);
      const from = (page.page - 1) * page.perPage;
      return { body: found.slice(from, from + page.perPage), headers: pageHeaders(page, found.length, call.url) };
    },
    [`POST ${R}/commits`]: async (call) => {
      const { params } = call;
      const startRef = params.optionalText('start_branch') ?? params.optionalText('start_sha');
      const actions = params.list('actions').map(actionOf);
      if (actions.length === 0) throw new ParamError('actions is missing');
      if (actions.length > maxActions) throw new JobpassError('too_large', `A commit has at most ${maxActions} actions.`);
      const made = await repository.createCommit(
        call.grant,
        call.project.id,
        {
          branch: params.text('branch'),
          message: params.text('commit_message'),
          ...(startRef === undefined ? {} : { startRef }),
          actions,
          author: await signatureOf(deps, call.grant),
        },
        deciderOf(deps, call.grant),
      );
      return { body: commit(webOf(deps, call), made) };
    },
  };
}

function actionOf(params: Params): CommitAction {
  const action = params.oneOf('action', ['create', 'update', 'delete', 'move', 'chmod']);
  if (action === undefined) throw new ParamError('actions[action] is missing');
  const content = action === 'delete' || action === 'chmod' ? undefined : contentOf(params, action !== 'move');
  const [previousPath, lastCommitId] = [params.optionalText('previous_path'), params.optionalText('last_commit_id')];
  const executable = params.flag('execute_filemode');
  if (action === 'move' && previousPath === undefined) throw new ParamError('actions[previous_path] is missing');
  return {
    action,
    path: params.text('file_path'),
    ...(previousPath === undefined ? {} : { previousPath }),
    ...(content === undefined ? {} : { content }),
    ...(executable === undefined ? {} : { executable }),
    ...(lastCommitId === undefined ? {} : { lastCommitId }),
  };
}

function contentOf(params: Params, required: boolean): Buffer | undefined {
  const text = params.optionalText('content');
  if (text === undefined) {
    if (required) throw new ParamError('content is missing');
    return undefined;
  }
  if (params.oneOf('encoding', ['text', 'base64']) !== 'base64') return Buffer.from(text, 'utf8');
  const packed = text.replaceAll(/\s/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(packed)) throw new ParamError('content is not base64');
  return Buffer.from(packed, 'base64');
}
