import { quote } from '../shell/script.ts';

/** Small POSIX scripts that run on the host, as its user. Paths in them are the runner's own, quoted. */

/** An empty slot with the job's folders. */
export function roomScript(slotDir: string, buildDir: string, tmpDir: string): string {
  const folders = [buildDir, `${tmpDir}/home`, `${tmpDir}/tmp`].map(quote).join(' ');
  return `umask 077\n${removal(slotDir)}\nmkdir -p -- ${folders}\n`;
}

/** Where the job's shell notes its process, which leads its group. */
export const pidOf = (slotDir: string): string => `${slotDir}.pid`;

/**
 * Ends what a job runs: its group, and all that has its cookie in the environment.
 * @param graceSeconds between SIGTERM and SIGKILL; 0 = killed at once
 */
export function endScript(cookie: string, slotDir: string, graceSeconds: number): string {
  const lines = [
    'marked() {',
    // One process for all of them; what belongs to others cannot be read, and is none of ours.
    `  grep -lzsx ${quote(`JOBPASS_JOB=${cookie}`)} /proc/[0-9]*/environ 2>/dev/null | sed 's,^/proc/,,; s,/environ$,,'`,
    '}',
    'end() {',
    `  if test -s ${quote(pidOf(slotDir))}; then kill "-$1" -- "-$(head -c 10 ${quote(pidOf(slotDir))} | tr -cd 0-9)" 2>/dev/null; fi`,
    '  for one in $(marked); do kill "-$1" "$one" 2>/dev/null; done',
    '}',
  ];
  if (graceSeconds > 0)
    lines.push('end TERM', 'left=0', `while test -n "$(marked)" && test $left -lt ${graceSeconds}; do sleep 1; left=$((left + 1)); done`);
  // Twice: what was forking at the first stroke meets the second.
  lines.push('end KILL', 'end KILL', 'exit 0', '');
  return lines.join('\n');
}

/** Ends what a job runs, at once, and removes its slot, read-only folders and all. */
export function removeScript(cookie: string, slotDir: string): string {
  return `(\n${endScript(cookie, slotDir, 0)})\n${removal(slotDir)}\nrm -f -- ${quote(pidOf(slotDir))}\nexit 0\n`;
}

function removal(dir: string): string {
  return `chmod -R u+rwx -- ${quote(dir)} 2>/dev/null\nrm -rf -- ${quote(dir)}`;
}
