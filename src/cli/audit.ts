import { ApiClient } from './api-client.ts';
import { type Command, parseFlags } from './command.ts';
import { fieldOf, rowsOf } from './demo/http.ts';
import { table } from './demo/table.ts';

export const audit: Command = {
  name: 'audit',
  about: 'what did passes do',
  help: () => `usage: jobpass audit [--job ID] [--project ID] [--user ID] [--decision allow|deny] [--limit N] [--json]

Prints decisions, newest last. Needs an administrator's token in JOBPASS_TOKEN or JOBPASS_TOKEN_FILE, and the server in --url or JOBPASS_URL.

example: jobpass audit --job 17
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['url', 'job', 'project', 'user', 'decision', 'limit'], ['json']);
    const query = new URLSearchParams({ per_page: flags.text('limit') ?? '50' });
    for (const [flag, name] of [
      ['job', 'job_id'],
      ['project', 'project_id'],
      ['user', 'user_id'],
      ['decision', 'decision'],
    ] as const) {
      const value = flags.text(flag);
      if (value !== undefined) query.set(name, value);
    }
    const rows = rowsOf(await new ApiClient(flags.text('url')).call('GET', `/api/v4/jobpass/audit?${query.toString()}`));
    if (flags.flag('json')) for (const row of rows) io.out(`${JSON.stringify(row)}\n`);
    else {
      const cell = (row: unknown, field: string): string => {
        const value = fieldOf(row, field);
        return Array.isArray(value) ? value.join(' ') : typeof value === 'string' || typeof value === 'number' ? String(value) : '';
      };
      const lines = rows.map((row) =>
        ['id', 'at', 'decision', 'subject', 'job_id', 'principals', 'accesses', 'rule', 'outcome', 'reason'].map((field) =>
          cell(row, field),
        ),
      );
      io.out(`${table([['id', 'at', 'decision', 'who', 'job', 'users', 'what', 'rule', 'outcome', 'why'], ...lines], '')}\n`);
    }
    return 0;
  },
};
