import { JobpassError } from '../../../base/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import { flagIn, isTable, textIn, textsIn } from '../../parsed.ts';
import { exitCodeOf } from './container-end.ts';
import { removeContainer } from './container.ts';
import { ownImage } from './own-image.ts';

/** For the folders of a job to change their owner. */
const handBackMs = 600_000;
/** What it takes to give away what root of another container made, and nothing else. */
const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER'];

/**
 * Root of a container owns what it made, and a runner that is not root cannot take it: a container of the runner's own gives it back, without devices, pipes
 * and sockets. What runs in there are this machine's programs: a job's image could as well do nothing, and leave the slot to nobody.
 * @param folders that exist; no container of the job runs any more
 * @throws upstream_failed
 */
export async function handBack(engine: Engine, labels: Readonly<Record<string, string>>, folders: readonly string[]): Promise<void> {
  const { id: image, paths } = await ownImage(engine, ['find', 'chown']);
  const [find = '', chown = ''] = paths;
  const targets = folders.map((_, index) => `/back/${index}`);
  const made = await engine.call('POST', '/containers/create', {
    Image: image,
    Entrypoint: [find, '-P', ...targets],
    // All in one walk. Of a link the owner changes, and not of what it leads to.
    Cmd: [...'( ! -type d ! -type f ! -type l -delete ) -o -exec'.split(' '), chown, '-h', await ownerIn(engine), '{}', '+'],
    User: '0:0',
    Labels: labels,
    HostConfig: {
      Mounts: folders.map((folder, index) => ({ Type: 'bind', Source: folder, Target: targets[index] })),
      NetworkMode: 'none',
      CapDrop: ['ALL'],
      CapAdd: capabilities,
    },
  });
  const id = isTable(made) ? textIn(made, 'Id') : undefined;
  if (id === undefined) throw new JobpassError('upstream_failed', 'The container engine made no container.');
  try {
    await engine.call('POST', `/containers/${id}/start`);
    const code = await exitCodeOf(engine, id, { told: AbortSignal.timeout(handBackMs) });
    if (code !== 0)
      throw new JobpassError('upstream_failed', `The files of the job could not be given back to the runner (exit code ${code}).`);
  } finally {
    await removeContainer(engine, id);
  }
}

/** The runner's user as a container sees it: where the engine is not root either, root of a container is whoever the engine runs as. */
async function ownerIn(engine: Engine): Promise<string> {
  const facts = await engine.call('GET', '/info');
  const rootless = isTable(facts) && (flagIn(facts, 'Rootless') === true || textsIn(facts, 'SecurityOptions').includes('name=rootless'));
  return rootless ? '0:0' : `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
}
