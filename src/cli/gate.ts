import { JobpassError } from '../base/errors.ts';
import { normalUrl, readConfig } from '../runner/config.ts';
import type { ServedBy } from '../runner/gate/executors.ts';
import { type Judgement, judge } from '../runner/gate/judge.ts';
import { formatFindings } from '../runner/gate/report.ts';
import { numberIn, type Table, tableIn, tablesIn, textIn } from '../runner/parsed.ts';
import { ApiClient } from './api-client.ts';
import { type Command, errorLine, type Flags, type Io, parseFlags, usage } from './command.ts';
import { serverUrl } from './config.ts';

export const gate: Command = {
  name: 'gate',
  about: 'judge a config.toml, say why',
  help: () => `usage: jobpass gate --config config.toml [--for gitlab-runner|jobpass] [--json]
       jobpass gate --config config.toml --apply --server URL [--runner ID] [--token-file FILE]
       jobpass gate --clear --server URL --runner ID [--token-file FILE]

Says whether jobs of this runner configuration may see their pass, and why. Reads gitlab-runner's own file. The worst entry decides for all.

  --config FILE      the file to judge
  --for PROGRAM      what runs the jobs; without it, jobpass where every entry has a [runners.jobpass] key, else gitlab-runner
  --json             for machines
  --apply            pins verdict and reasons to the runners of this file, for an older runner that cannot report them
  --clear            takes the pin away
  --server URL       the server; JOBPASS_URL
  --runner ID        the runner, where its entry has no id
  --token-file FILE  an administrator's token; else JOBPASS_TOKEN or JOBPASS_TOKEN_FILE

A pinned withhold wins over all that a runner reports. A pinned expose counts for a runner that has no key, and only with trust full.
exit code: 0 expose (or cleared), 1 withhold, 2 wrong use

example: jobpass gate --config /etc/gitlab-runner/config.toml
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['config', 'for', 'server', 'runner', 'token-file'], ['json', 'apply', 'clear']);
    if (flags.flag('clear')) return clear(flags, io);
    const read = await readFile(flags.required('config'));
    const servedBy = programOf(flags, read.raw);
    const judgement = read.raw === undefined ? unreadable(read.why) : judge({ raw: read.raw }, servedBy);
    const pinned = flags.flag('apply') ? await apply(flags, read.raw, judgement) : [];
    if (flags.flag('json')) io.out(`${JSON.stringify({ for: servedBy, ...judgement, pinned })}\n`);
    else {
      io.out(`judged as run by ${servedBy === 'jobpass' ? 'jobpass runner' : 'gitlab-runner'}\n${formatFindings(judgement, io.terminal)}`);
      for (const id of pinned) io.out(`pinned: runner ${id}: ${judgement.verdict}\n`);
    }
    return judgement.verdict === 'expose' ? 0 : 1;
  },
};

/** A file that cannot be read is unsafe (R13). */
async function readFile(path: string): Promise<{ readonly raw: Table | undefined; readonly why: string }> {
  try {
    return { raw: (await readConfig(path)).raw, why: '' };
  } catch (error) {
    return { raw: undefined, why: errorLine(error) };
  }
}

function unreadable(why: string): Judgement {
  return {
    verdict: 'withhold',
    findings: [
      { runner: '', key: '', reason: `cannot be read: ${why}`, remedy: 'Name a config.toml that gitlab-runner can read.', safe: false },
    ],
  };
}

/** Pins are for runners that cannot speak for themselves, so the file is judged as theirs. */
function programOf(flags: Flags, raw: Table | undefined): ServedBy {
  const named = flags.text('for');
  if (named !== undefined) return named === 'jobpass' || named === 'gitlab-runner' ? named : usage('--for is jobpass or gitlab-runner');
  if (flags.flag('apply') || raw === undefined) return 'gitlab-runner';
  const entries = tablesIn(raw, 'runners');
  const ours = entries.every((entry) => textIn(tableIn(entry, 'jobpass') ?? {}, 'key') !== undefined);
  return ours && entries.length > 0 ? 'jobpass' : 'gitlab-runner';
}

const maxReasons = 100;
const maxReasonLength = 300;

/** @returns ids of the runners that it was pinned to */
async function apply(flags: Flags, raw: Table | undefined, { verdict, findings }: Judgement): Promise<readonly number[]> {
  const ids = runnersOf(flags, raw);
  const api = apiOf(flags);
  const reasons = findings
    .filter(({ safe }) => !safe)
    .slice(0, maxReasons)
    .map(({ key, reason }) => `${key === '' ? 'the file' : key}: ${reason}`.slice(0, maxReasonLength));
  for (const id of ids) await pin(api, id, { pinned_verdict: verdict, pinned_reasons: reasons });
  return ids;
}

async function clear(flags: Flags, io: Io): Promise<number> {
  const id = idOf(flags.required('runner'));
  await pin(apiOf(flags), id, { pinned_verdict: null });
  io.out(flags.flag('json') ? `${JSON.stringify({ cleared: [id] })}\n` : `cleared: runner ${id} has no pinned verdict\n`);
  return 0;
}

/** A server that does not know pins takes the call and does nothing: that must not look like success. */
async function pin(
  api: ApiClient,
  id: number,
  body: { readonly pinned_verdict: string | null; readonly pinned_reasons?: readonly string[] },
): Promise<void> {
  const answer = await api.call('PUT', `/api/v4/runners/${id}`, body);
  const stands = typeof answer === 'object' && answer !== null && 'pinned_verdict' in answer ? answer.pinned_verdict : undefined;
  if (stands !== body.pinned_verdict) throw new JobpassError('upstream_failed', 'The server does not pin verdicts: is it jobpass?');
}

/** The runner that is named, else the entries of this server: ids of another server are other runners. */
function runnersOf(flags: Flags, raw: Table | undefined): readonly number[] {
  const server = normalUrl(serverUrl(flags.text('server')));
  const here = tablesIn(raw ?? {}, 'runners')
    .filter((entry) => normalUrl(textIn(entry, 'url') ?? '') === server)
    .flatMap((entry) => numberIn(entry, 'id') ?? []);
  const named = flags.text('runner');
  if (named !== undefined) {
    const id = idOf(named);
    if (here.length > 0 && !here.includes(id)) return usage(`the file has no runner ${id} of this server`);
    return [id];
  }
  return here.length > 0 ? here : usage('no entry of this file has an id and the url of this server: say which with --runner');
}

function apiOf(flags: Flags): ApiClient {
  return new ApiClient(flags.text('server'), flags.text('token-file'));
}

function idOf(text: string): number {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : usage('--runner is a number');
}
