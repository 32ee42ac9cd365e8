import type { IncomingHttpHeaders } from 'node:http';
import { limits } from '../base/limits.ts';
import { looksLikePass } from '../base/pass-token.ts';
import { Secret } from '../base/secret.ts';
import type { Carrier, Refusal, Subject } from '../pass/subject.ts';

type Read = { readonly subject: Subject } | { readonly refusal: Refusal };

const passPattern = /jpt_[xfn][0-9A-Za-z]{20}/;
const tokenPrefix = /^(?:jpt_|gl(?:pat|cbt|rt)-)/;

/** What a pass in a URL is answered with, at every door (A26). */
export const passInUrl = 'A pass is not accepted in a URL; send it in the PRIVATE-TOKEN header. Treat this one as leaked: URLs are logged.';

/** True where a request target holds a pass, also with escapes in it. */
export function targetHoldsPass(target: string): boolean {
  if (!target.includes('%')) return passPattern.test(target);
  const plain = target.replaceAll(/%([2-7][0-9A-Fa-f])/g, (_escape, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
  return passPattern.test(target) || passPattern.test(plain);
}

/**
 * Finds the one credential of a request (R17). A pass is taken from `PRIVATE-TOKEN`, `JOB-TOKEN`, `Authorization: Bearer` and Basic only;
 * anywhere else it is refused with the header to use. Query tokens are taken for ordinary tokens, as GitLab does.
 * @param rawHeaders names and values in turn, to see duplicates that Node.js folds away
 */
export function credentialOf(headers: IncomingHttpHeaders, rawHeaders: readonly string[], query: URLSearchParams): Read {
  for (const [name, value] of query) {
    if (passPattern.test(value) || passPattern.test(name)) return misplaced(passInUrl);
  }
  // Acting as somebody else is not served; left unheard, it would be done as the token's own user.
  if (query.has('sudo')) return refuse('credential_misplaced', 'The sudo parameter is not supported.');
  if (passPattern.test(headers.cookie ?? '')) return misplaced('A pass is not accepted in a cookie; send it in the PRIVATE-TOKEN header.');
  const found: { carrier: Carrier; text: string }[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const value = rawHeaders[index + 1] ?? '';
    switch (rawHeaders[index]?.toLowerCase()) {
      case 'private-token':
        found.push({ carrier: 'private_token', text: value });
        break;
      case 'job-token':
        found.push({ carrier: 'job_token', text: value });
        break;
      case 'authorization': {
        const parsed = parseAuthorization(value);
        if ('refusal' in parsed) return parsed;
        found.push(parsed);
        break;
      }
      case 'sudo':
        return refuse('credential_misplaced', 'The Sudo header is not supported.');
      default:
        if (passPattern.test(value)) return misplaced('A pass is not accepted in this header; send it in the PRIVATE-TOKEN header.');
    }
  }
  for (const [name, carrier] of [
    ['private_token', 'private_token'],
    ['access_token', 'bearer'],
    ['job_token', 'job_token'],
  ] as const) {
    for (const text of query.getAll(name)) found.push({ carrier, text });
  }
  const [first, ...more] = found;
  if (first === undefined) return { subject: { kind: 'anonymous' } };
  if (more.length > 0) return misplaced('Send one credential only: this request has several.');
  if (first.text === '' || first.text.length > limits.credentialBytes)
    return refuse('credential_invalid', 'The token is empty or too long.');
  return { subject: { kind: 'secret', secret: new Secret(first.text), carrier: first.carrier } };
}

/** True where a form or JSON body holds a pass: it is refused, never used and never forwarded (R17). */
export function holdsPass(value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return passPattern.test(value) && looksLikePass(value.trim());
  if (typeof value !== 'object' || value === null || depth > limits.jsonDepth) return false;
  return Object.entries(value).some((entry) => entry.some((inner) => holdsPass(inner, depth + 1)));
}

function parseAuthorization(value: string): { carrier: Carrier; text: string } | { refusal: Refusal } {
  const match = /^([A-Za-z]+) +(.*)$/.exec(value);
  const scheme = match?.[1]?.toLowerCase();
  const rest = (match?.[2] ?? '').trim();
  if (scheme === 'bearer') return { carrier: 'bearer', text: rest };
  if (scheme !== 'basic') return refuse('credential_invalid', 'The Authorization header is neither Basic nor Bearer.');
  const basic = parseBasic(rest);
  if (basic === undefined) return refuse('credential_invalid', 'The Basic credential is malformed: it must be base64 of `user:password`.');
  if (basic.password === '') return { carrier: 'basic', text: basic.user };
  if (tokenPrefix.test(basic.user)) return misplaced('Send one credential only: the user name of this one is a token, too.');
  return { carrier: 'basic', text: basic.password };
}

/**
 * The halves of a Basic credential. The password is the token, whatever the user name is: clients send `oauth2`, `git`, `gitlab-ci-token` and others;
 * a token given as user name with an empty password is taken too.
 * @returns undefined where it is malformed (RFC 7617)
 */
export function parseBasic(encoded: string): { readonly user: string; readonly password: string } | undefined {
  if (encoded.length > 2 * limits.credentialBytes || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined;
  const bytes = Buffer.from(encoded, 'base64');
  const text = bytes.toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0 || /[\u0000-\u001f\u007f]/.test(text) || !Buffer.from(text, 'utf8').equals(bytes)) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

function misplaced(message: string): { refusal: Refusal } {
  return refuse('credential_misplaced', message, 'R17');
}

function refuse(code: Refusal['code'], message: string, rule = 'R17'): { refusal: Refusal } {
  return { refusal: { code, rule, message } };
}
