import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { isProtected } from '../../base/refs.ts';
import type { PushPrefix } from './push-prefix.ts';

/** @throws never_allowed (push options do what no push says), too_large */
export function checkOptions({ options, commands }: PushPrefix): void {
  const other = options.find((option) => option !== 'ci.skip');
  if (other !== undefined)
    throw new JobpassError('never_allowed', `No pass may push with the option ${JSON.stringify(other.slice(0, 100))}.`);
  if (commands.length > limits.refsPerPush) throw new JobpassError('too_large', 'The push names too many refs.');
}

/** What the forge would allow one of several people, or an administrator. @throws access_denied */
export function checkUnprotected(rules: Parameters<typeof isProtected>[0], { commands }: PushPrefix): void {
  for (const { ref } of commands) {
    const [, kind, name = ''] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
    if (kind === undefined || isProtected(rules, kind === 'tags' ? 'tag' : 'branch', name))
      throw new JobpassError(
        'access_denied',
        `This pass has the rights of several people, or of an administrator: it may not push to ${ref}, which is protected.`,
      );
  }
}
