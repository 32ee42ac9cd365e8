import fc from 'fast-check';
import { expect, test } from 'vitest';
import { looksLikePass, newPassToken, passTokenKind } from '../../src/base/pass-token.ts';
import { credentialOf, holdsPass, parseBasic, targetHoldsPass } from '../../src/doors/credential.ts';
import { pathProblem } from '../../src/doors/paths.ts';
import { rangeOf } from '../../src/doors/range.ts';
import { chunkOffset } from '../../src/doors/registry/blobs.ts';
import { parseRegistryPath } from '../../src/doors/registry/names.ts';
import { lfsRoute } from '../../src/doors/git/lfs/route.ts';
import { endpoints } from '../../src/policy/endpoints.ts';
import { isNeverAllowed, matchEndpoint, pathSegments } from '../../src/policy/match.ts';
import { fuzz, oneOff, soup, tellCount } from './cases.ts';

tellCount('what a request carries');

const kinds = ['full', 'fetch', 'narrowed'] as const;
const token = fc.constantFrom(...kinds).map((kind) => newPassToken(kind).reveal());

/** CRC-32 bit by bit, as IEEE 802.3 has it. */
function crc(text: string): number {
  let rest = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return (rest ^ 0xffffffff) >>> 0;
}
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

test('R13 R17 a pass is what its grammar and its sum say, and nothing near it', () => {
  fuzz(20_000, fc.oneof(token, oneOff(token), soup(['jpt_', 'x', 'f', 'n', 'A', '0', 'a'.repeat(30), '123456'], 6)), (text) => {
    const strict = /^jpt_[xfn][0-9A-Za-z]{36}$/.test(text) && !text.includes('\n');
    const sum = text
      .slice(-6)
      .split('')
      .reduce((value, letter) => value * 62 + alphabet.indexOf(letter), 0);
    const right = strict && sum === crc(text.slice(0, -6));
    expect(passTokenKind(text) !== undefined).toBe(right);
    expect(looksLikePass(text)).toBe(text.startsWith('jpt_'));
  });
});

const words = endpoints.flatMap(({ path }) => path.split('?')[0]?.split('/') ?? []).map((part) => part.replace(/^:.*/, '7'));
const paths = fc.oneof(
  fc.constantFrom(...endpoints).map(({ path }) => path.replaceAll(/:\w+/g, 'a%2Fb').replace('*', 'x')),
  soup(['/..', '/.', '/%2e%2e', '/a', '%2F..', '%2F', 'b'], 4),
  soup(['/', '/', '%2F', '%2e', '..', '.', ';', '%00', '%25', '\\', 'api', '/api/v4/', ...words], 10).map((text) => `/${text}`),
);

test('R13 A22 a path is read in one way only, by the doors and by the table alike', () => {
  fuzz(30_000, fc.oneof(paths, oneOff(paths)), (path) => {
    const segments = pathSegments(path);
    const strict = /^(?:\/(?:[\w.~!$&'()*+,=:@"<>[\]^`{|}?-]|%[0-9A-Fa-f]{2})+)+$/.test(path);
    if (pathProblem(path) === undefined && path !== '/' && !/^\/v2\/(?:.*\/)?$/.test(path)) {
      expect([path, strict]).toEqual([path, true]);
      expect(segments).toBeDefined();
    }
    if (segments === undefined) {
      expect(matchEndpoint('GET', path)).toBeUndefined();
      expect(isNeverAllowed('GET', path)).toBe(true);
      return;
    }
    for (const part of segments.flatMap((segment) => segment.split('/'))) expect(['', '.', '..']).not.toContain(part);
    // Half a character cannot come over HTTP.
    if (/\p{Surrogate}/u.test(path)) return;
    expect(pathSegments(`/${segments.map(encodeURIComponent).join('/')}`)).toEqual(segments);
    const found = matchEndpoint('GET', path);
    if (found === undefined) return;
    // Nothing but its parameters may differ from the row.
    const parts = found.endpoint.path.slice(1).split('/');
    const fixed = parts.findIndex((part, index) => !part.startsWith(':') && !part.endsWith('*') && part !== segments[index]);
    expect([path, found.endpoint.path, fixed]).toEqual([path, found.endpoint.path, -1]);
    if (!found.endpoint.path.endsWith('*')) expect(segments).toHaveLength(parts.length);
  });
});

const basic = fc
  .tuple(fc.string({ maxLength: 10 }), fc.oneof(token, fc.string({ maxLength: 20 })))
  .map(([user, password]) => Buffer.from(`${user}:${password}`).toString('base64'));

test('R13 R17 a Basic credential is canonical base64 of printable text with a colon (RFC 7617)', () => {
  fuzz(20_000, fc.oneof(basic, oneOff(basic), fc.string(), fc.base64String()), (encoded) => {
    const read = parseBasic(encoded);
    if (read === undefined) return;
    expect(encoded).toMatch(/^[A-Za-z0-9+/]+={0,2}$/);
    expect(read.user).not.toContain(':');
    expect(`${read.user}${read.password}`).not.toMatch(/[\u0000-\u001f\u007f]/);
    expect(Buffer.from(encoded, 'base64').toString('utf8')).toBe(`${read.user}:${read.password}`);
  });
});

const names = ['private-token', 'job-token', 'authorization', 'PRIVATE-TOKEN', 'Authorization', 'accept', 'x-other', 'cookie'];
const header = fc.tuple(
  fc.constantFrom(...names),
  fc.oneof(
    token,
    token.map((text) => `Bearer ${text}`),
    basic.map((text) => `Basic ${text}`),
    fc.string({ maxLength: 20 }),
  ),
);

test('R17 A26 A67 of any headers and query at most one credential is taken, and no pass from elsewhere', () => {
  const query = fc.tuple(
    fc.constantFrom('private_token', 'job_token', 'access_token', 'ref', 'a'),
    fc.oneof(token, fc.string({ maxLength: 8 })),
  );
  fuzz(20_000, fc.tuple(fc.array(header, { maxLength: 3 }), fc.array(query, { maxLength: 2 })), ([headers, pairs]) => {
    const raw = headers.flat();
    const folded = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
    const read = credentialOf(folded, raw, new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value])));
    const carried = headers.filter(([name]) => ['private-token', 'job-token', 'authorization'].includes(name.toLowerCase()));
    const tokens = pairs.filter(([name]) => name.endsWith('_token'));
    if ('refusal' in read) return;
    expect(carried.length + tokens.length).toBeLessThan(2);
    expect(read.subject.kind).toBe(carried.length + tokens.length === 0 ? 'anonymous' : 'secret');
    for (const [, value] of pairs) expect(value).not.toMatch(/^jpt_[xfn][0-9A-Za-z]{36}$/);
    for (const [name, value] of headers)
      if (!carried.some(([known]) => known === name)) expect(value).not.toMatch(/jpt_[xfn][0-9A-Za-z]{20}/);
  });
});

test('A26 a pass is seen in a URL, however its letters are escaped, and in any depth of a body', () => {
  const escaped = fc.tuple(token, fc.array(fc.boolean(), { minLength: 41, maxLength: 41 })).map(([text, which]) => ({
    text,
    url: text
      .split('')
      .map((letter, index) => (which[index] === true ? `%${letter.charCodeAt(0).toString(16)}` : letter))
      .join(''),
  }));
  fuzz(5000, fc.tuple(escaped, soup(['/', '?', '&', 'a=', '%20'], 4), fc.nat(8)), ([{ text, url }, around, depth]) => {
    expect(targetHoldsPass(`/${around}${url}`)).toBe(true);
    let body: unknown = text;
    for (let level = 0; level < depth; level += 1) body = level % 2 === 0 ? [1, body] : { a: null, [`k${level}`]: body };
    expect(holdsPass(body)).toBe(true);
    expect(holdsPass({ [text]: 1 })).toBe(true);
  });
});

test('R13 a range lies inside of what there is (RFC 9110 §14), a chunk starts where it says', () => {
  const number = fc.oneof(fc.nat(20), fc.nat(), fc.constantFrom('', '-1', '00', '99999999999999999', ' 1', '1e3')).map(String);
  const ranges = fc
    .tuple(fc.constantFrom('bytes=', 'bytes ', 'Bytes=', 'bits=', ''), number, fc.constantFrom('-', '', '--', ',', '/'), number)
    .map((parts) => parts.join(''));
  fuzz(20_000, fc.tuple(fc.oneof(ranges, oneOff(ranges)), fc.nat(30)), ([text, size]) => {
    const read = rangeOf(text, size);
    if (typeof read === 'object') {
      expect(text).toMatch(/^bytes=(?:\d+-\d*|-\d+)$/);
      expect(read.first).toBeGreaterThanOrEqual(0);
      expect(read.last).toBeGreaterThanOrEqual(read.first);
      expect(read.last).toBeLessThan(size);
    }
    let offset: number | undefined;
    try {
      offset = chunkOffset(text.replace('bytes=', ''), String(size));
    } catch {
      return;
    }
    if (offset !== undefined) expect(offset).toBe(Number(/^\d+/.exec(text.replace('bytes=', ''))?.[0]));
  });
});

test('R13 A11 paths of images and large files name one thing, or nothing', () => {
  const parts = [
    '/v2/',
    'a/b',
    '/blobs/',
    '/manifests/',
    '/uploads/',
    '/tags/list',
    `sha256:${'0'.repeat(64)}`,
    'latest',
    '..',
    '%2F',
    '_',
    '-',
  ];
  const large = ['/a/b', '.git', '/info/lfs/', 'objects/', 'batch', 'locks', '/7/unlock', '/gitlab-lfs/objects/', 'f'.repeat(64), '/12'];
  fuzz(15_000, soup(parts, 7), (path) => {
    const read = parseRegistryPath(path);
    if (read !== undefined && 'name' in read) expect(path.startsWith(`/v2/${read.name}/`)).toBe(true);
  });
  fuzz(10_000, fc.tuple(fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE'), soup(large, 7)), ([method, path]) => {
    const route = lfsRoute(method, path);
    if (route === undefined) return;
    expect(endpoints.some((row) => `${row.method} ${row.path}` === route.endpoint)).toBe(true);
    expect(path.startsWith(`/${route.projectPath}.git/`) || /%/.test(path)).toBe(true);
  });
});
