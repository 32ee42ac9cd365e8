import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gateway } from '../../src/cli/gateway.ts';
import { type Behind, startBehind } from '../support/behind.ts';

interface Finding {
  readonly level: string;
  readonly what: string;
  readonly says: string;
}

describe('`jobpass gateway doctor`, in front of a forge that lives', () => {
  let place: Behind;
  let tokenFile: string;
  beforeAll(async () => {
    place = await startBehind();
    tokenFile = join(place.gateway.dataDir, 'admin-token');
    const app = await place.project('team/app');
    await place.commit(app, 'a.txt', 'a');
  });
  afterAll(() => place?.stop());

  async function doctor(more: readonly string[] = [], external = place.url, file = tokenFile) {
    let text = '';
    const io = { out: (part: string) => void (text += part), terminal: false, stopped: () => new Promise<string>(() => {}) };
    const given = ['--upstream', place.upstream.url, '--external-url', external, '--admin-token-file', file];
    const code = await gateway.run(['doctor', ...given, ...more, '--json'], io);
    const { findings } = JSON.parse(text) as { findings: readonly Finding[] };
    return {
      code,
      findings,
      of: (what: string) => findings.filter((one) => one.what === what).map(({ level, says }) => `${level}: ${says}`),
    };
  }

  test('what is right is said to be right, and nothing is left behind', async () => {
    const runner = await place.runner();
    const { code, findings, of } = await doctor(['--trust-runner', String(runner.id)]);
    expect(findings.filter(({ level }) => level === 'problem')).toEqual([]);
    expect(code).toBe(0);
    expect(of('administrator')).toEqual(['ok: root']);
    expect(of('impersonation')).toEqual(['ok: tokens to act with can be made and revoked']);
    expect(of('pushers')).toEqual(['ok: push events are told: who wrote what runs is known']);
    expect(of('runners')).toEqual([expect.stringContaining(`trusted to show jobs their pass: ${runner.id}.`)]);
    expect(of('addresses')).toEqual([]);
    const { list } = await place.call('GET', '/api/v4/users/1/impersonation_tokens?state=active', { token: place.root });
    expect(list).toEqual([]);
  });

  test('what is wrong is a problem, and the exit code says so', async () => {
    const gone = await doctor(['--trust-runner', '4711']);
    expect([gone.code, gone.of('runner')]).toEqual([1, ['problem: there is no runner 4711']]);
    const elsewhere = await doctor([], 'https://gitlab.example.com');
    expect(elsewhere.of('addresses')).toEqual([expect.stringContaining(`warning: the forge calls itself ${place.url}`)]);
    const alice = await place.user('alice');
    const file = join(place.gateway.dataDir, 'token-of-alice');
    await writeFile(file, alice.token, { mode: 0o600 });
    const nobody = await doctor([], place.url, file);
    expect([nobody.code, nobody.of('administrator')[0]]).toEqual([1, expect.stringContaining('problem: ')]);
  });
});
