import { expect, test } from 'vitest';
import { makeAddresses } from '../../src/base/addresses.ts';

test('the first address is the canonical one, and names images where nothing else is said', () => {
  const addresses = makeAddresses(['https://forge.example', 'http://172.17.0.1:8929']);
  expect([addresses.url, addresses.registry]).toEqual(['https://forge.example', 'forge.example']);
  expect(addresses.urls).toEqual(['https://forge.example', 'http://172.17.0.1:8929']);
  expect(addresses.registryHosts).toEqual(['forge.example', '172.17.0.1:8929']);
});

test('a registry address of its own names the images', () => {
  const addresses = makeAddresses(['http://172.17.0.1:8929'], 'http://127.0.0.1:8929');
  expect(addresses.registry).toBe('127.0.0.1:8929');
  expect(addresses.registryHosts).toEqual(['127.0.0.1:8929', '172.17.0.1:8929']);
  expect(addresses.originFor('127.0.0.1:8929')).toBe('http://127.0.0.1:8929');
});

test('A17 a Host that nobody configured is never answered with itself', () => {
  const addresses = makeAddresses(['https://forge.example', 'https://other.example']);
  for (const host of ['evil.example', 'forge.example.evil', 'forge.example:444', 'forge.example@evil', '', undefined])
    expect(addresses.originFor(host)).toBe('https://forge.example');
  expect(addresses.originFor('OTHER.example')).toBe('https://other.example');
});
