/** Quotes for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const green = '\u001b[32;1m';
const reset = '\u001b[0;m';

/**
 * The text that is fed to the shell's standard input: nothing of it is in argv (A26).
 * The job's lines stand in one quoted word: the shell has read all before the first runs, so that a command which reads
 * its own standard input cannot swallow the rest, and a stray `}` cannot break out.
 */
export function shellScript(lines: readonly string[], shell: 'bash' | 'sh'): string {
  const body = [shell === 'bash' ? 'set -eo pipefail' : 'set -e', 'set +o noclobber'];
  for (const line of lines) {
    const [first = '', ...more] = line.trimEnd().split('\n');
    const shown = more.length === 0 ? first : `${first} # collapsed multi-line command`;
    body.push(`printf '%s\\n' ${quote(`${green}$ ${shown}${reset}`)}`, line);
  }
  return `exec 2>&1\neval ${quote(`${body.join('\n')}\n`)} </dev/null\n`;
}
