/**
 * Hooks of ours, the only ones that ever run. They hold no rule: they ask the server over the descriptors 3 (out) and 4 (back), which git
 * hands down from the helper, so that no secret, address or socket is in their environment.
 */
const preReceive = `#!/bin/sh
skip=0
index=0
while [ "$index" -lt "\${GIT_PUSH_OPTION_COUNT:-0}" ]; do
  eval "option=\\$GIT_PUSH_OPTION_$index"
  case "$option" in
    ci.skip) skip=1 ;;
    *) echo "GitLab: push options other than ci.skip are not accepted" >&2; exit 1 ;;
  esac
  index=$((index + 1))
done
{ printf 'pre-receive %s %s\\n' "$skip" "$GIT_OBJECT_DIRECTORY"; cat; printf '.\\n'; } >&3
read -r verdict <&4
[ "$verdict" = ok ] && exit 0
while read -r line <&4 && [ "$line" != . ]; do printf 'GitLab: %s\\n' "$line" >&2; done
exit 1
`;

const referenceTransaction = `#!/bin/sh
case "$1" in
  prepared)
    { printf 'prepared\\n'; cat; printf '.\\n'; } >&3
    read -r verdict <&4
    [ "$verdict" = ok ] && exit 0
    while read -r line <&4 && [ "$line" != . ]; do printf 'GitLab: %s\\n' "$line" >&2; done
    exit 1 ;;
  committed)
    { printf 'committed\\n'; cat; printf '.\\n'; } >&3 ;;
esac
exit 0
`;

export const hookScripts: Readonly<Record<string, string>> = { 'pre-receive': preReceive, 'reference-transaction': referenceTransaction };

/** A question of a hook: its first line, and the `old new ref` lines after it. */
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
    } else {
      const [oldOid = '', newOid = '', ...ref] = line.split(' ');
      updates.push({ oldOid, newOid, ref: ref.join(' ') });
    }
  };
}
