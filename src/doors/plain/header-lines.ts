/**
 * Names and values in turn, of lines that are known to be `name: value` and a line end each. Cut at each line's first colon, which is cheaper than a match for each.
 * @param until where the last of them has ended
 */
export function headersIn(text: string, from: number, until: number): string[] {
  const headers: string[] = [];
  for (let at = from; at < until;) {
    const colon = text.indexOf(':', at);
    const lineEnd = text.indexOf('\r\n', colon);
    headers.push(text.slice(at, colon), trimmed(text, colon + 1, lineEnd));
    at = lineEnd + 2;
  }
  return headers;
}

/** Without spaces and tabs around it; `trim` knows more kinds of space. */
function trimmed(text: string, from: number, until: number): string {
  let [start, end] = [from, until];
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
