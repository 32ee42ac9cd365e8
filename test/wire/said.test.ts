import { expect, test } from 'vitest';
import { saidIn } from '../../src/wire/said.ts';

test.each([
  ['{"message":"403 Forbidden - another key"}', '403 Forbidden - another key'],
  ['{"message":{"path":["is a reserved name","is long"],"name":["is missing"]}}', 'path is a reserved name, is long; name is missing'],
  ['{"message":{"base":["Username or email has already been taken"]}}', 'Username or email has already been taken'],
  ['{"message":["one","two"]}', 'one, two'],
  ['{"error":"name is missing"}', 'name is missing'],
  ['{"error":"invalid_scope","error_description":"no such permission"}', 'no such permission'],
  ['{"message":null,"error":"x"}', 'x'],
  ['<!DOCTYPE html><title>Welcome</title>', 'a web page; is the address right?'],
  ['no JSON\u001b[31m', 'no JSON [31m'],
  ['{"other":1}', '{"other":1}'],
  ['7', '7'],
  [`{"message":"${'x'.repeat(600)}"}`, 'x'.repeat(500)],
])('%s is told as %s', (body, words) => {
  expect(saidIn(body)).toBe(words);
});
