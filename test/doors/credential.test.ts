import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newPassToken } from '../../src/base/pass-token.ts';
import { credentialOf, holdsPass, parseBasic, targetHoldsPass } from '../../src/doors/credential.ts';

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
  test('R17 A67 a Basic credential with a token on both sides is refused', () => {
    for (const text of [`${pass}:glpat-x`, `glpat-x:${pass}`, `${pass}:${pass}`, `${pass}:x-oauth-basic`]) {
      const found = read({ Authorization: basic(text) });
      expect('refusal' in found && found.refusal.code).toBe('credential_misplaced');
    }
  });
  test('R17 a pass in a header that is not listed is refused, never taken for anonymous', () => {
    for (const name of ['Deploy-Token', 'X-Gitlab-Token', 'Proxy-Authorization', 'Referer']) {
      const found = read({ [name]: `https://x/${pass}` });
      expect('refusal' in found && found.refusal.code).toBe('credential_misplaced');
    }
  });
  test('R13 a request to act as somebody else is refused, never done as the own user', () => {
    expect('refusal' in read({ 'PRIVATE-TOKEN': 'glpat-x', Sudo: 'root' })).toBe(true);
    expect('refusal' in read({ 'PRIVATE-TOKEN': 'glpat-x' }, 'sudo=root')).toBe(true);
  });
  test('R17 A26 a pass in a request target is seen however it is escaped', () => {
    const escaped = Array.from(pass, (letter) => `%${letter.charCodeAt(0).toString(16)}`).join('');
    for (const target of [`/${pass}`, `/a?x=${pass}`, `/${escaped}`, `/a?${pass.replace('_', '%5F')}`])
      expect(targetHoldsPass(target)).toBe(true);
    for (const target of ['/', '/a?x=jpt_x', '/jpt_/%zz']) expect(targetHoldsPass(target)).toBe(false);
  });
  test('R17 a body that holds a pass is noticed', () => {
    expect(holdsPass({ [pass]: 1 })).toBe(true);
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
          if (parsed !== undefined) expect(parsed.user + parsed.password).not.toMatch(/[\u0000-\u001f]/);
        },
      ),
      { numRuns: 5000 },
    );
  });
});
