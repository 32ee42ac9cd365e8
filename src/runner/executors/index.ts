import { JobpassError } from '../../base/errors.ts';
import type { Executor } from './executor.ts';
import { dockerExecutor } from './docker/docker.ts';
import { shellExecutor } from './shell/shell.ts';
import { sshExecutor } from './ssh/ssh.ts';

const executors: Readonly<Record<string, Executor>> = { shell: shellExecutor, docker: dockerExecutor, ssh: sshExecutor };

/** @throws unsupported */
export function executorNamed(name: string): Executor {
  const executor = Object.hasOwn(executors, name) ? executors[name] : undefined;
  if (executor === undefined)
    throw new JobpassError('unsupported', `there is no executor "${name}"; there are: ${Object.keys(executors).join(', ')}`);
  return executor;
}
