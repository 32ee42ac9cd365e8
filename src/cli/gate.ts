import { readConfig } from '../runner/config.ts';
import { formatFindings, judge, type Judgement } from '../runner/gate/judge.ts';
import { type Command, errorLine, parseFlags } from './command.ts';

export const gate: Command = {
  name: 'gate',
  about: 'judge a config.toml, say why',
  help: () => `usage: jobpass gate --config config.toml [--json]

Says whether jobs of this runner configuration may see their pass, and why. Reads gitlab-runner's own file. The worst entry decides for all.
exit code: 0 expose, 1 withhold
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['config'], ['json']);
    const path = flags.required('config');
    const judgement = await judgeFile(path);
    io.out(flags.flag('json') ? `${JSON.stringify(judgement)}\n` : formatFindings(judgement));
    return judgement.verdict === 'expose' ? 0 : 1;
  },
};

/** A file that cannot be read is unsafe (R13). */
async function judgeFile(path: string): Promise<Judgement> {
  try {
    return judge(await readConfig(path));
  } catch (error) {
    return { verdict: 'withhold', findings: [{ runner: path, key: '', reason: `cannot be read: ${errorLine(error)}`, safe: false }] };
  }
}
