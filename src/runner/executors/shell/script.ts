/** Quotes for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

export interface ScriptStyle {
  readonly shell: 'bash' | 'sh';
  /** Every command is shown as it runs, expanded (CI_DEBUG_TRACE). */
  readonly xtrace: boolean;
  /** Multi-line commands fold in a reader's view, under names that begin with this (FF_SCRIPT_SECTIONS). */
  readonly sections: string | undefined;
}

const green = '\u001b[32;1m';
const reset = '\u001b[0;m';
const clear = String.raw`\r\033[0K`;

/**
 * The text that is fed to the shell's standard input: nothing of it is in argv (A26).
 * The job's lines stand in one quoted word: the shell has read all before the first runs, so that a command which reads
 * its own standard input cannot swallow the rest, and a stray `}` cannot break out.
 */
export function shellScript(lines: readonly string[], style: ScriptStyle): string {
  // As gitlab-runner: also where the shell that runs it is known only there.
  const pipefail = 'if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi';
  const body = ['set -e', style.shell === 'bash' ? 'set -o pipefail' : pipefail, 'set +o noclobber'];
  if (style.xtrace) body.push('set -o xtrace');
  lines.forEach((line, index) => body.push(announce(line.trimEnd(), style.sections, index), line));
  return `exec 2>&1\neval ${quote(`${body.join('\n')}\n`)} </dev/null\n`;
}

/** Shows a command before it runs. */
function announce(line: string, sections: string | undefined, index: number): string {
  const [first = '', ...more] = line.split('\n');
  const shown = (text: string): string => quote(`${green}$ ${text}${reset}`);
  if (more.length === 0) return `printf '%s\\n' ${shown(first)}`;
  if (sections === undefined) return `printf '%s\\n' ${shown(`${first} # collapsed multi-line command`)}`;
  const name = `section_${sections}_${index}`;
  const [start, end] = [`section_start:%s:${name}[hide_duration=true,collapsed=true]${clear}%s\\n`, `section_end:%s:${name}${clear}\\n`];
  return `printf '${start}' "$(date +%s)" ${shown(line)}; printf '${end}' "$(date +%s)"`;
}
