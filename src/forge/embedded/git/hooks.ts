import { limits } from '../../../base/limits.ts';

/** Passes standard input on. Another program only for many lines: most pushes move one ref, and a shell reads byte by byte. */
const told = `count=0
  while IFS= read -r line; do
    printf '%s\\n' "$line"
    count=$((count + 1))
    [ "$count" -lt 4 ] || cat
  done`;
/**
 * Hooks of ours, the only ones that ever run. They hold no rule: they ask the server over the descriptors 3 (out) and 4 (back), which git
 * hands down from the helper, so that no secret, address or socket is in their environment. No answer means no.
 */
const ask = `
  read -r verdict <&4
  [ "$verdict" = ok ] && exit 0
  while read -r line <&4 && [ "$line" != . ]; do printf 'GitLab: %s\\n' "$line" >&2; done
  exit 1
`;
const preReceive = `#!/bin/sh
options=none
index=0
while [ "$index" -lt "\${GIT_PUSH_OPTION_COUNT:-0}" ]; do
  if [ "$(printenv "GIT_PUSH_OPTION_$index")" != ci.skip ]; then options=other
  elif [ "$options" = none ]; then options=ci.skip
  fi
  index=$((index + 1))
done
{ printf 'pre-receive %s %s\\n' "$options" "$GIT_OBJECT_DIRECTORY"; ${told}; printf '.\\n'; } >&3
${ask}`;

const referenceTransaction = `#!/bin/sh
case "$1" in
  prepared) { printf 'prepared\\n'; ${told}; printf '.\\n'; } >&3 ;;
  committed) { printf 'committed\\n'; ${told}; printf '.\\n'; } >&3; exit 0 ;;
  *) exit 0 ;;
esac
${ask}`;

export const hookScripts: Readonly<Record<string, string>> = { 'pre-receive': preReceive, 'reference-transaction': referenceTransaction };

/** A question of a hook: its first line, and the `old new ref` lines after it (one more than the limit where there were more). */
export interface HookQuestion {
  readonly head: string;
  readonly updates: readonly { readonly oldOid: string; readonly newOid: string; readonly ref: string }[];
}

/** Joins the lines of a hook into questions. */
export function hookReader(
  onQuestion: (question: HookQuestion, answer: (text: string) => void) => void,
): (line: string, answer: (text: string) => void) => void {
  let head: string | undefined;
  let updates: HookQuestion['updates'][number][] = [];
  return (line, answer) => {
    if (head === undefined) head = line;
    else if (line === '.') {
      const question = { head, updates };
      head = undefined;
      updates = [];
      onQuestion(question, answer);
    } else if (updates.length <= limits.refsPerPush) {
      const [oldOid = '', newOid = '', ...ref] = line.split(' ');
      updates.push({ oldOid, newOid, ref: ref.join(' ') });
    }
  };
}
