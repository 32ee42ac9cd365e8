import { Readable } from 'node:stream';
import { limits } from '../../../base/limits.ts';
import { verifyGrant } from '../../../pass/grant.ts';
import type { GitForge, GitService } from '../../forge.ts';
import type { GitProcess } from './processes.ts';
import { Push, type PushDeps } from './push.ts';
import type { Repositories } from './repositories.ts';

const serviceArgs = { 'git-upload-pack': ['upload-pack'], 'git-receive-pack': ['receive-pack'] } as const satisfies Record<
  GitService,
  readonly string[]
>;

/** git's own smart HTTP service, by git's own programs. @see gitprotocol-http(5) */
export function makeGitForge(
  deps: PushDeps & { readonly repositories: Repositories; readonly onPushed: (repository: string) => void },
): GitForge {
  const { git, repositories } = deps;
  // A v2 advertisement holds no refs: the same bytes for every repository of ours.
  let advertisementV2: Promise<Buffer> | undefined;
  const env = (protocol: string | undefined): Record<string, string> => (protocol === undefined ? {} : { GIT_PROTOCOL: protocol });
  const header = (service: GitService): Buffer => {
    const line = `# service=${service}\n`;
    return Buffer.from(`${(line.length + 4).toString(16).padStart(4, '0')}${line}0000`);
  };

  return {
    async advertise(grant, project, service, protocol) {
      verifyGrant(grant, service === 'git-upload-pack' ? 'code:download' : 'code:push', { kind: 'project', id: project });
      const repository = await repositories.existing(project);
      const args = [...serviceArgs[service], '--stateless-rpc', '--advertise-refs', repository];
      if (service === 'git-upload-pack' && protocol === 'version=2') {
        advertisementV2 ??= git.run(repository, args, { env: env(protocol) }).then(({ output }) => output);
        const bytes = await advertisementV2.catch((error: unknown) => {
          advertisementV2 = undefined;
          throw error;
        });
        return Readable.from([Buffer.concat([header(service), bytes])]);
      }
      const started = git.start(repository, args, { env: env(protocol), signal: grant.signal });
      started.input.end();
      const body = Readable.from(prefixed(header(service), started.output));
      // A generator that nobody began with leaves what it would have read as it is: git would wait for ever to be heard.
      return body.once('close', () => started.output.destroy());
    },

    async uploadPack(grant, project, protocol, body) {
      verifyGrant(grant, 'code:download', { kind: 'project', id: project });
      const repository = await repositories.existing(project);
      const started = git.start(repository, ['upload-pack', '--stateless-rpc', repository], { env: env(protocol), signal: grant.signal });
      feed(body, started);
      return started.output;
    },

    async receivePack(grant, project, protocol, body, decide) {
      verifyGrant(grant, 'code:push', { kind: 'project', id: project });
      const repository = await repositories.existing(project);
      await git.checkHooks();
      const push = new Push(deps, grant, project, repository, decide);
      const args = ['-c', `receive.maxInputSize=${limits.packBytes}`, 'receive-pack', '--stateless-rpc', repository];
      const started = git.start(repository, args, { env: env(protocol), signal: grant.signal, ...push.hooks() });
      feed(body, started);
      const done = started.done.then(async (end) => {
        const outcome = await push.finish(end);
        if (outcome.outcome === 'done') deps.onPushed(repository);
        return outcome;
      });
      // The door waits for it later, or not at all when its client has gone.
      done.catch((error: unknown) => deps.log.error('push.not_settled', { project, requestId: grant.requestId }, error));
      return { output: started.output, done };
    },
  };
}

/** A body that breaks off must not look like one that ended: git would take the half for the whole. */
function feed(body: Readable, git: GitProcess): void {
  body.pipe(git.input);
  body.once('error', () => git.kill());
  body.once('close', () => {
    if (!body.readableEnded) git.kill();
  });
  if (body.destroyed && !body.readableEnded) git.kill();
}

async function* prefixed(head: Buffer, rest: Readable): AsyncGenerator<Buffer> {
  yield head;
  for await (const chunk of rest) yield chunk;
}
