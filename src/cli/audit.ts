import { ApiClient } from './api-client.ts';
import { suggest } from './audit-suggest.ts';
import { type Command, type Flags, type Io, parseFlags } from './command.ts';
import { fieldOf, numberOf, rowsOf } from './demo/http.ts';
import { table } from './demo/table.ts';

const followMs = 1000;
const columns = ['id', 'at', 'decision', 'subject', 'job_id', 'principals', 'accesses', 'rule', 'outcome', 'reason'];
const head = ['id', 'at', 'decision', 'who', 'job', 'users', 'what', 'rule', 'outcome', 'why'];

export const audit: Command = {
  help: () => `usage: jobpass audit [--job ID] [--project ID] [--user ID] [--decision allow|deny] [--limit N] [--follow] [--json]
       jobpass audit --suggest --job ID

Prints decisions, newest last. Needs an administrator's token in JOBPASS_TOKEN or JOBPASS_TOKEN_FILE, and the server in --url or JOBPASS_URL.
--follow goes on with what is decided from now on, until Ctrl-C; an outcome that is not known yet reads "…".

--suggest prints the lines for the CI file that bound such a job's pass to what this one did.

example: jobpass audit --job 17
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['url', 'job', 'project', 'user', 'decision', 'limit'], ['json', 'follow', 'suggest']);
    const api = new ApiClient(flags.text('url'));
    if (flags.flag('suggest')) {
      io.out(await suggest(api, flags.text('job')));
      return 0;
    }
    const rows = await query(api, flags, { per_page: flags.text('limit') ?? '50' });
    if (flags.flag('json')) for (const row of rows) io.out(`${JSON.stringify(row)}\n`);
    else io.out(`${table([head, ...rows.map(cells)], '')}\n`);
    if (flags.flag('follow')) await follow(api, flags, io, rows.at(-1));
    return 0;
  },
};

async function follow(api: ApiClient, flags: Flags, io: Io, last: unknown): Promise<void> {
  const stop = new AbortController();
  void io.stopped().then(() => stop.abort());
  // Where the filter finds nothing yet, whatever was decided before now is passed over all the same.
  const newest = last ?? rowsOf(await api.call('GET', '/api/v4/jobpass/audit?per_page=1')).at(-1);
  for (let after = newest === undefined ? 0 : numberOf(newest, 'id'); !stop.signal.aborted;) {
    const rows = await query(api, flags, { per_page: '100', after_id: String(after) });
    for (const row of rows) {
      after = numberOf(row, 'id');
      // Its own questions are decisions, too: they would never end.
      if (fieldOf(row, 'endpoint') === 'GET /api/v4/jobpass/audit') continue;
      io.out(flags.flag('json') ? `${JSON.stringify(row)}\n` : `${cells(row).join('  ')}\n`);
    }
    if (rows.length < 100) await pause(followMs, stop.signal);
  }
}

async function query(api: ApiClient, flags: Flags, more: Readonly<Record<string, string>>): Promise<readonly unknown[]> {
  const search = new URLSearchParams(more);
  for (const [flag, name] of [
    ['job', 'job_id'],
    ['project', 'project_id'],
    ['user', 'user_id'],
    ['decision', 'decision'],
  ] as const) {
    const value = flags.text(flag);
    if (value !== undefined) search.set(name, value);
  }
  return rowsOf(await api.call('GET', `/api/v4/jobpass/audit?${search.toString()}`));
}

function cells(row: unknown): string[] {
  return columns.map((field) => {
    const value = fieldOf(row, field);
    if (field === 'outcome' && value === null) return fieldOf(row, 'decision') === 'allow' ? '…' : '';
    return Array.isArray(value) ? value.join(' ') : typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
