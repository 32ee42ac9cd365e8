import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { unheeded } from '../../src/runner/heeded.ts';
import { isTable } from '../../src/runner/parsed.ts';

const keysOf = (text: string): readonly string[] => {
  const raw: unknown = parse(text);
  return isTable(raw) ? unheeded(raw) : [];
};

test('R13 what gitlab-runner register writes means the same here, or says nothing', () => {
  const text = `
concurrent = 1
check_interval = 0
connection_max_age = "15m0s"
shutdown_timeout = 0
[session_server]
  session_timeout = 1800
[[runners]]
  name = "r"
  url = "https://forge.example"
  id = 1
  token = "glrt-x"
  token_obtained_at = 2026-01-01T00:00:00Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = "docker"
  [runners.cache]
    MaxUploadedArchiveSize = 0
    [runners.cache.s3]
    [runners.cache.gcs]
  [runners.docker]
    image = "alpine"`;
  expect(keysOf(text)).toEqual(['connection_max_age', 'session_server.session_timeout']);
});

test('R13 what would be left out is named, without its value', () => {
  const text = `
log_level = "debug"
[[runners]]
  executor = "shell"
  clone_url = "https://elsewhere.example"
  Limit = 3
  [runners.feature_flags]
    FF_NETWORK_PER_BUILD = true
    FF_TIMESTAMPS = true
  [runners.cache]
    Type = "s3"
    [runners.cache.s3]
      SecretKey = "secret"`;
  expect(keysOf(text)).toEqual([
    'log_level',
    'runners[0].clone_url',
    'runners[0].Limit',
    'runners[0].feature_flags.FF_TIMESTAMPS',
    'runners[0].cache.Type',
    'runners[0].cache.s3',
  ]);
});
