import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatFindings, judge } from '../../../src/runner/gate/judge.ts';
import { dockerRules, entryRules, executorRules, globalRules } from '../../../src/runner/gate/rules.ts';

const safeDocker = {
  name: 'box',
  url: 'https://forge.example',
  token: 'glrt-secret',
  executor: 'docker',
  docker: { image: 'alpine', privileged: false, pull_policy: 'always', volumes: ['/cache'] },
};
const verdict = (raw: unknown): string => judge({ raw }).verdict;
const withDocker = (docker: object): unknown => ({ runners: [{ ...safeDocker, docker: { ...safeDocker.docker, ...docker } }] });

describe('the gate', () => {
  test('R7 a plain docker runner may expose', () => {
    expect(verdict({ concurrent: 4, check_interval: 3, runners: [safeDocker] })).toBe('expose');
  });

  test.each(['shell', 'ssh', 'custom', 'virtualbox', 'kubernetes', 'instance', 'docker-autoscaler', 'unheard-of', '__proto__', ''])(
    'R7 the executor "%s" withholds',
    (executor) => {
      expect(verdict({ runners: [{ ...safeDocker, executor }] })).toBe('withhold');
    },
  );

  test.each([
    { privileged: true },
    { services_privileged: true },
    { volumes: ['/var/run/docker.sock:/var/run/docker.sock'] },
    { volumes: ['/srv:/srv:ro'] },
    { volumes: ['named:/data'] },
    { volumes: 'text' },
    { cap_add: ['SYS_ADMIN'] },
    { security_opt: ['seccomp=unconfined'] },
    { devices: ['/dev/kvm'] },
    { network_mode: 'host' },
    { network_mode: 'container:other' },
    { pid_mode: 'host' },
    { ipcmode: 'host' },
    { userns_mode: 'host' },
    { pull_policy: 'if-not-present' },
    { pull_policy: ['always', 'never'] },
    { runtime: 'sysbox' },
    { volumes_from: ['other'] },
    { host: 'tcp://10.0.0.1:2375' },
    { a_key_of_tomorrow: false },
  ])('R7 docker with %o withholds, and says which key', (docker) => {
    const { verdict: result, findings } = judge({ raw: withDocker(docker) });
    expect(result).toBe('withhold');
    expect(findings.filter(({ safe }) => !safe).map(({ key }) => key)).toEqual([`runners[0].docker.${Object.keys(docker)[0]}`]);
  });

  test('A63 the worst entry of the host decides for all', () => {
    expect(verdict({ runners: [safeDocker, { ...safeDocker, name: 'other', executor: 'shell' }] })).toBe('withhold');
  });

  test.each([
    undefined,
    null,
    'text',
    [],
    {},
    { runners: [] },
    { runners: 'x' },
    { runners: ['x'] },
    { runners: [{ executor: 'docker' }] },
  ])('R13 what cannot be read withholds: %o', (raw) => {
    expect(verdict(raw)).toBe('withhold');
  });

  test('R13 a key that is not known never helps, wherever it stands', () => {
    const known = new Set([...Object.keys(globalRules), ...Object.keys(entryRules), ...Object.keys(dockerRules)]);
    const entry = fc.record(
      { executor: fc.constantFrom(...Object.keys(executorRules)), docker: fc.constant({ image: 'x' }) },
      { requiredKeys: ['executor'] },
    );
    const unknown = fc.string().filter((key) => !known.has(key) && key !== '__proto__');
    fc.assert(
      fc.property(fc.array(entry), unknown, fc.jsonValue(), fc.constantFrom('top', 'entry', 'docker'), (runners, key, value, where) => {
        const raw = { runners };
        const added =
          where === 'top'
            ? { ...raw, [key]: value }
            : { runners: [...runners, where === 'entry' ? { ...safeDocker, [key]: value } : { ...safeDocker, docker: { [key]: value } }] };
        expect(verdict(added)).toBe('withhold');
      }),
    );
  });

  test('R6 findings hold keys and reasons, never a value', () => {
    const text = formatFindings(judge({ raw: { runners: [{ ...safeDocker, executor: 'shell', mystery: 'glpat-hidden' }] } }));
    expect(text).toContain('mystery');
    expect(text).not.toMatch(/glrt-secret|glpat-hidden/);
    expect(text).toContain('verdict: withhold');
  });
});
