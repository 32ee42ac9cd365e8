import { JobpassError } from '../../base/errors.ts';
import { holdsPass } from '../credential.ts';

/** Parameters in which the forge takes credentials, another user, or another method than the request line's. @see GitLab REST API; Rack::MethodOverride */
const unheard = new Set([
  'private_token',
  'access_token',
  // Doorkeeper's other name for that, which counts before any header.
  'bearer_token',
  'job_token',
  'deploy_token',
  'feed_token',
  'token',
  'sudo',
  '_method',
]);
/** Parameters that bring another project in, which nobody was asked about. */
const otherProject = new Set(['target_project_id', 'source_project_id', 'start_project', 'to_project_id', 'from_project_id']);
/** What would be done later, when the job may be over (R5). */
const delayed = new Set(['merge_when_pipeline_succeeds', 'auto_merge']);
/** What lets others push to a branch, also when the job is over (R5). */
const lasting = new Set(['allow_collaboration', 'allow_maintainer_to_push']);
/** What the forge reads as Markdown, quick actions with it. */
const texts = new Set(['description', 'body', 'note', 'notes', 'message', 'title', 'tag_message', 'release_description']);

/**
 * Looks at what the forge will read of a query, a form or a JSON body that a pass sends.
 * @throws credential_misplaced (a pass or another credential, another user: R17), access_denied (quick actions: A62; another project), never_allowed (R5)
 */
export function checkText(value: unknown): void {
  if (holdsPass(value))
    throw new JobpassError(
      'credential_misplaced',
      'A pass is not accepted in a body; send it in the PRIVATE-TOKEN header. Treat this one as leaked.',
    );
  for (const [given, inner] of Object.entries(fieldsOf(value))) {
    const words = wordsOf(given);
    // The first word is what it is to the forge, whatever stands in brackets.
    for (const name of new Set([words.at(0) ?? '', words.at(-1) ?? ''])) checkTop(name, inner);
  }
  if (holdsQuickAction(value, ''))
    throw new JobpassError(
      'access_denied',
      'A line of the text begins with a slash and a word: the forge would carry it out as a quick action, which no pass may do. Indent it, or put it in backquotes.',
    );
}

function checkTop(name: string, value: unknown): void {
  if (unheard.has(name)) throw new JobpassError('credential_misplaced', `The parameter ${name} is not carried with a pass.`);
  if (otherProject.has(name))
    throw new JobpassError('access_denied', `The parameter ${name} names another project, which nobody was asked about: leave it out.`);
  if (['false', '0', ''].includes(String(value))) return;
  if (delayed.has(name)) throw new JobpassError('never_allowed', `No pass may ask for ${name}: it would be done when the job may be over.`);
  if (lasting.has(name))
    throw new JobpassError('never_allowed', `No pass may ask for ${name}: it would let others push when the job is over.`);
}

/**
 * No pass writes below `.jobpass/` (R4, A66). @param params of the path @param value the parsed body
 * @throws never_allowed
 */
export function checkReserved(params: ReadonlyMap<string, string>, value: unknown): void {
  const path = params.get('file_path');
  if (isReserved(path) || namesReserved(value, '')) throw new JobpassError('never_allowed', 'No pass may write below .jobpass/.');
}

function namesReserved(value: unknown, name: string): boolean {
  if (typeof value === 'string') return (name === 'file_path' || name === 'previous_path') && isReserved(value);
  if (Array.isArray(value)) return value.some((inner) => namesReserved(inner, name));
  return Object.entries(fieldsOf(value)).some(([inner, held]) => namesReserved(held, wordOf(inner)));
}

function isReserved(path: string | undefined): boolean {
  return path !== undefined && /(?:^|\/)\.jobpass(?:\/|$)/i.test(path);
}

/** Lines such as `/assign @root`, in the fields that are Markdown. @see GitLab, "Quick actions" */
function holdsQuickAction(value: unknown, name: string): boolean {
  if (typeof value === 'string') return texts.has(name) && /^[^\S\r\n]*\/[a-z_]+/imu.test(value);
  if (Array.isArray(value)) return value.some((inner) => holdsQuickAction(inner, name));
  return Object.entries(fieldsOf(value)).some(([inner, held]) => holdsQuickAction(held, wordOf(inner)));
}

/** `position[body]` and `notes[]` of a form end in their own name. */
function wordOf(name: string): string {
  return wordsOf(name).at(-1) ?? '';
}

function wordsOf(name: string): readonly string[] {
  const words = name.split(/[[\]]/).filter((word) => word !== '');
  return words.map((word) => word.trim().toLowerCase());
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
