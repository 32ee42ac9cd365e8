import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newPassToken } from '../../src/base/pass-token.ts';
import { credentialOf, holdsPass, parseBasic } from '../../src/doors/credential.ts';

const pass = newPassToken('full').reveal();
function read(headers: Record<string, string>, query = '') {
  const raw = Object.entries(headers).flat();
  return credentialOf(
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    raw,
    new URLSearchParams(query),
  );
}
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

describe('R17 the one credential of a request', () => {
  test('R17 a pass is found in each listed place', () => {
    for (const headers of [
      { 'PRIVATE-TOKEN': pass },
      { 'JOB-TOKEN': pass },
      { Authorization: `Bearer ${pass}` },
      { Authorization: basic(`anyone:${pass}`) },
      { Authorization: basic(`${pass}:`) },
    ]) {
      const found = read(headers);
      expect('subject' in found && found.subject.kind === 'secret' && found.subject.secret.reveal()).toBe(pass);
    }
  });
  test('R17 A26 a pass in a query or cookie is refused, with the header to use', () => {
    for (const found of [read({}, `private_token=${pass}`), read({}, `x=${pass}`), read({ cookie: `a=${pass}` })]) {
      expect('refusal' in found && found.refusal.code).toBe('credential_misplaced');
      expect('refusal' in found && found.refusal.message).toContain('PRIVATE-TOKEN');
      expect(JSON.stringify(found)).not.toContain(pass);
    }
  });
  test('R17 A67 two credentials are refused, also twice the same header', () => {
    expect('refusal' in read({ 'PRIVATE-TOKEN': pass, Authorization: `Bearer ${pass}` })).toBe(true);
    expect('refusal' in credentialOf({}, ['PRIVATE-TOKEN', 'a', 'private-token', 'b'], new URLSearchParams())).toBe(true);
    expect('refusal' in read({ 'PRIVATE-TOKEN': 'glpat-x' }, 'private_token=glpat-y')).toBe(true);
  });
  test('R17 a body that holds a pass is noticed', () => {
    expect(holdsPass({ a: [{ token: pass }] })).toBe(true);
    expect(holdsPass({ a: ['jpt_ is the prefix of passes'] })).toBe(false);
  });
  test('R13 a malformed Basic credential is an error, never anonymous', () => {
    for (const value of ['Basic', 'Basic !!', `Basic ${Buffer.from('no colon').toString('base64')}`, 'Digest x', basic('a:\u0000b')])
      expect('refusal' in read({ Authorization: value })).toBe(true);
  });
  test('R13 whatever stands in a Basic header, parsing ends and gives text without control bytes, or nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String(),
          fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('base64')),
        ),
        (text) => {
          const parsed = parseBasic(text);
          if (parsed !== undefined) expect(parsed).not.toMatch(/[\u0000-\u001f]/);
        },
      ),
      { numRuns: 5000 },
    );
  });
});
