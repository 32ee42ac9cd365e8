import { describe, expect, test } from 'vitest';
import { Params } from '../../../src/doors/api/params.ts';
import { ParamError } from '../../../src/doors/api/errors.ts';

const form = (text: string) => new Params(new URLSearchParams(), new URLSearchParams(text));

describe('parameters of a request', () => {
  test('lists and nested fields of a form', () => {
    const params = form('a[]=1&a[]=2&variables[KEY]=x&variables[OTHER]=y&plain=z');
    expect(params.words('a')).toEqual(['1', '2']);
    expect(params.nested('variables').text('KEY')).toBe('x');
    expect(params.nested('variables').text('OTHER')).toBe('y');
    expect(params.text('plain')).toBe('z');
  });

  test('the body wins over the query, and a field that was sent as null was sent', () => {
    const params = new Params(new URLSearchParams('a=1&b=2'), { a: '3', c: null });
    expect([params.text('a'), params.text('b'), params.given('c'), params.has('c'), params.given('d')]).toEqual([
      '3',
      '2',
      true,
      false,
      false,
    ]);
  });

  test("names of an object's own machinery are names like others", () => {
    const params = form('__proto__=1&constructor=2&a[__proto__]=3');
    expect([params.text('__proto__'), params.text('constructor'), params.nested('a').text('__proto__')]).toEqual(['1', '2', '3']);
    expect(form('').optionalText('toString')).toBeUndefined();
  });

  test('R13 no store keeps U+0000 in a text: nothing takes it but what is written into a file', () => {
    expect(() => form('a=x%00')).toThrow(ParamError);
    expect(() => form('variables[K%00]=x')).toThrow(ParamError);
    expect(() => new Params(new URLSearchParams(), { list: [{ deep: ['\0'] }] })).toThrow(ParamError);
    const written = new Params(new URLSearchParams(), { actions: [{ content: 'x\0' }], content: '\0' });
    expect(written.text('content')).toBe('\0');
  });

  // Copying what is there for each field took minutes for a body of this size, before anybody was asked who they are.
  test.each([
    ['list', (_index: number) => 'a[]=1'],
    ['nested', (index: number) => `a[${index}x]=1`],
  ])('a form of 50,000 %s fields is read in one go', (_kind, field) => {
    const params = form(Array.from({ length: 50_000 }, (_value, index) => field(index)).join('&'));
    expect(params.has('a')).toBe(true);
  });

  test('what is not of the wanted kind is an error in the words of GitLab', () => {
    for (const [read, message] of [
      [() => form('').text('tag_name'), 'tag_name is missing'],
      [() => form('n=1.5').integer('n'), 'n is invalid'],
      [() => form('n[]=1').optionalText('n'), 'n is invalid'],
      [() => form('n[a]=1').optionalText('n'), 'n is invalid'],
      [() => form('n[a]=1').list('n'), 'n is invalid'],
      [() => form('t=tomorrow').time('t'), 't is invalid'],
    ] as const)
      expect(read).toThrow(new ParamError(message));
  });
});
