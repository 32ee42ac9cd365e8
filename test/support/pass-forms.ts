/** Prefixes by which any pass shows itself, in the forms that R12 lists: `jpt_` raw, in base64 at its three offsets, percent-encoded, in hex. */
const kinds = ['x', 'f', 'n'];
const raw = kinds.map((kind) => `jpt_${kind}`);

function base64At(text: string, offset: number): string {
  const whole = Buffer.from(`${'\0'.repeat(offset)}${text}`).toString('base64');
  // Only the characters that depend on the text alone, not on its neighbours.
  const first = Math.ceil((offset * 8) / 6);
  const last = Math.floor(((offset + text.length) * 8) / 6);
  return whole.slice(first, last);
}

const patterns: readonly { readonly form: string; readonly pattern: RegExp }[] = [
  { form: 'raw', pattern: /jpt_[xfn][0-9A-Za-z]{20}/ },
  ...[0, 1, 2].map((offset) => ({
    form: `base64 at ${offset}`,
    pattern: new RegExp(`(?:${raw.map((text) => base64At(text, offset).replaceAll('+', String.raw`\+`)).join('|')})[A-Za-z0-9+/]{30}`),
  })),
  { form: 'url', pattern: /(?:jpt%5[fF]|%6[aA]%70%74%5[fF])(?:[xfn]|%\d[\da-fA-F])/ },
  { form: 'hex', pattern: /6a70745f(?:78|66|6e)[\da-f]{40}/i },
];

/** @returns where passes show in `text`: the form, and some text around it; empty where there is none */
export function passesIn(text: string): string[] {
  return patterns.flatMap(({ form, pattern }) => {
    const match = pattern.exec(text);
    return match === null ? [] : [`${form}: …${text.slice(Math.max(0, match.index - 60), match.index + 12)}…`];
  });
}
