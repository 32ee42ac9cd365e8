/** Smallest form worth looking for; shorter cuts of base64 would match by accident. */
const minFormLength = 12;

/**
 * The listed forms of a secret (R12): raw, base64 at the three offsets (standard and URL alphabet), percent-encoded, hex.
 * In base64 only the characters that the secret alone decides count: what stands before and after it is unknown.
 */
export function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret, 'utf8');
  const hex = bytes.toString('hex');
  const percent = hex.replaceAll(/../g, '%$&');
  const forms = new Set([secret, encodeURIComponent(secret), hex, hex.toUpperCase(), percent, percent.toUpperCase()]);
  for (const offset of [0, 1, 2]) {
    const form = base64At(bytes, offset);
    forms.add(form);
    forms.add(form.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return [...forms].filter((form) => form === secret || form.length >= minFormLength);
}

function base64At(bytes: Buffer, offset: number): string {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString('base64')
    .replaceAll('=', '');
  // Bits of the unknown neighbours reach into the first and the last character of the secret's own part.
  const start = [0, 2, 3][offset] ?? 0;
  const whole = (offset + bytes.length) % 3 === 0;
  return encoded.slice(start, whole ? undefined : -1);
}

/** Prefixes after which a token follows, as gitlab-runner masks them; `token_mask_prefixes` of the payload come on top. */
export const tokenPrefixes: readonly string[] = [
  'jpt_',
  'glpat-',
  'gloas-',
  'gldt-',
  'glrt-',
  'glcbt-',
  'glrtr-',
  'glptt-',
  'glft-',
  'glimt-',
  'glagent-',
  'glsoat-',
  'glffct-',
  '_gitlab_session=',
  'gltok-',
];
