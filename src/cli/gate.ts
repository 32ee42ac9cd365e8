import { resolve } from 'node:path';
import { normalUrl, readRaw } from '../runner/config.ts';
import type { ServedBy } from '../runner/gate/executors.ts';
import { type Judgement, judge } from '../runner/gate/judge.ts';
import { formatFindings } from '../runner/gate/report.ts';
import { numberIn, type Table, tableIn, tablesIn, textIn } from '../runner/parsed.ts';
import { ApiClient } from './api-client.ts';
import { type Command, errorLine, type Flags, type Io, parseFlags, usage } from './command.ts';
import { serverUrl } from './config.ts';

export const gate: Command = {
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
exit code: 0 expose (or cleared), 1 withhold, 2 wrong use, 3 the server did not take the pin

example: jobpass gate --config /etc/gitlab-runner/config.toml
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['config', 'for', 'server', 'runner', 'token-file'], ['json', 'apply', 'clear']);
    const json = flags.flag('json');
    if (flags.flag('clear')) return clear(flags, io, json);
    const read = await readFile(flags.required('config'));
    const servedBy = programOf(flags, read.raw);
    const judgement = read.raw === undefined ? unreadable(read.why) : judge({ raw: read.raw }, servedBy);
    const runners = flags.flag('apply') ? runnersOf(flags, read.raw) : [];
    const { pinned, problem } = await pinAll(flags, runners, pinOf(judgement));
    const failed = problem === undefined ? {} : { problem };
    if (json) io.out(`${JSON.stringify({ for: servedBy, ...judgement, pinned, ...failed })}\n`);
    else {
      io.out(`judged as run by ${servedBy === 'jobpass' ? 'jobpass runner' : 'gitlab-runner'}\n${formatFindings(judgement, io.terminal)}`);
      for (const id of pinned) io.out(`pinned: runner ${id}: ${judgement.verdict}\n`);
      if (problem !== undefined) io.out(`not pinned: ${problem}\n`);
    }
    // A verdict that could not be pinned must not look like one that was.
    if (problem !== undefined) return 3;
    return judgement.verdict === 'expose' ? 0 : 1;
  },
};

/** A file that cannot be read is unsafe (R13). */
async function readFile(path: string): Promise<{ readonly raw: Table | undefined; readonly why: string }> {
  try {
    return { raw: await readRaw(resolve(path)), why: '' };
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

/** What runs the jobs. A pin speaks for a runner that cannot, and so never for jobpass runner. */
function programOf(flags: Flags, raw: Table | undefined): ServedBy {
  const applies = flags.flag('apply');
  const named = flags.text('for');
  if (named !== undefined && named !== 'jobpass' && named !== 'gitlab-runner') return usage('--for is jobpass or gitlab-runner');
  if (named === 'jobpass' && applies) return usage('jobpass runner reports its own verdict: --apply is for gitlab-runner');
  if (named !== undefined) return named;
  const entries = tablesIn(raw ?? {}, 'runners');
  const ours = entries.length > 0 && entries.every((entry) => textIn(tableIn(entry, 'jobpass') ?? {}, 'key') !== undefined);
  if (ours && applies) return usage('the runners of this file report their own verdict; --for gitlab-runner pins one all the same');
  return ours ? 'jobpass' : 'gitlab-runner';
}

const maxReasons = 100;
const maxReasonLength = 300;

interface Pin {
  readonly pinned_verdict: 'withhold' | 'expose' | null;
  readonly pinned_reasons?: readonly string[];
}

function pinOf({ verdict, findings }: Judgement): Pin {
  const reasons = findings
    .filter(({ safe }) => !safe)
    .slice(0, maxReasons)
    .map(({ key, reason }) => `${key === '' ? 'the file' : key}: ${reason}`.slice(0, maxReasonLength));
  return { pinned_verdict: verdict, pinned_reasons: reasons };
}

/** One runner after the other. @returns those that were done, and why the next was not */
async function pinAll(flags: Flags, runners: readonly number[], pin: Pin): Promise<{ pinned: readonly number[]; problem?: string }> {
  const pinned: number[] = [];
  if (runners.length === 0) return { pinned };
  try {
    const api = new ApiClient(serverUrl(flags.text('server'), '--server'), flags.text('token-file'));
    for (const id of runners) {
      const answer = await api.call('PUT', `/api/v4/runners/${id}`, pin);
      const stands = typeof answer === 'object' && answer !== null && 'pinned_verdict' in answer ? answer.pinned_verdict : undefined;
      // A server that knows no pins takes the call and does nothing.
      if (stands !== pin.pinned_verdict) return { pinned, problem: `runner ${id}: the server does not pin verdicts; is it jobpass?` };
      pinned.push(id);
    }
    return { pinned };
  } catch (error) {
    return { pinned, problem: errorLine(error) };
  }
}

async function clear(flags: Flags, io: Io, json: boolean): Promise<number> {
  const { pinned, problem } = await pinAll(flags, [idOf(flags.required('runner'))], { pinned_verdict: null });
  if (json) io.out(`${JSON.stringify({ cleared: pinned, ...(problem === undefined ? {} : { problem }) })}\n`);
  else io.out(problem === undefined ? `cleared: runner ${pinned.join()} has no pinned verdict\n` : `not cleared: ${problem}\n`);
  return problem === undefined ? 0 : 3;
}

/** The runner that is named, else the entries of this server: ids of another server are other runners. */
function runnersOf(flags: Flags, raw: Table | undefined): readonly number[] {
  const server = normalUrl(serverUrl(flags.text('server'), '--server'));
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

function idOf(text: string): number {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : usage('--runner is a number');
}
