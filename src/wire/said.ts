const longest = 500;

/**
 * What a refusal of GitLab's API says, for people: its `message` (a text, or texts by field), OAuth's `error_description`, or its `error`; of anything else the
 * text itself, short and without control characters.
 */
export function saidIn(body: string): string {
  const found = body.trimStart().startsWith('<') ? 'a web page; is the address right?' : (wordsOf(parsed(body)) ?? body);
  return found.replaceAll(/[\u0000-\u001f\u007f]/g, ' ').slice(0, longest);
}

function wordsOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { message, error_description: described, error }: Record<string, unknown> = { ...body };
  const words = [message, described, error].find((one) => one !== undefined && one !== null);
  if (typeof words === 'string') return words;
  if (Array.isArray(words)) return words.join(', ');
  if (typeof words !== 'object' || words === null) return undefined;
  // What is wrong with the whole stands in a field of its own, which is none.
  const texts = Object.entries(words).map(([field, texts]) => `${field === 'base' ? '' : `${field} `}${[texts].flat().join(', ')}`);
  return texts.length === 0 ? undefined : texts.join('; ');
}

function parsed(text: string): unknown {
  try {
    const body: unknown = JSON.parse(text);
    return body;
  } catch {
    return undefined;
  }
}
