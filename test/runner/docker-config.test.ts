import { describe, expect, test } from 'vitest';
import type { Engine } from '../../src/runner/engine/engine.ts';
import { parseDocker } from '../../src/runner/executors/docker/config.ts';
import { type ContainerOrder, createContainer } from '../../src/runner/executors/docker/container.ts';
import type { DockerParts } from '../../src/runner/executors/docker/docker.ts';
import { checkAllowed } from '../../src/runner/executors/docker/images.ts';

const folders = { slotDir: '/seen', buildDir: '/seen/group/app', tmpDir: '/seen/group/app.tmp' };

/** What the engine is asked to make for a section of the configuration. */
async function made(docker: Record<string, unknown>, order: Partial<ContainerOrder> & { readonly service?: boolean } = {}) {
  const config = parseDocker(docker);
  const asked: Record<string, unknown>[] = [];
  const engine = {
    call: (_method: string, _path: string, body: Record<string, unknown>) => Promise.resolve({ Id: `c${asked.push(body)}` }),
  } as unknown as Engine;
  const place = { ...folders, slotDir: '/slot', buildDir: '/slot/group/app', tmpDir: '/slot/group/app.tmp', seen: folders };
  const parts = { engine, config, place, labels: { 'com.jobpass.job': '7' }, podman: false } as unknown as DockerParts;
  await createContainer(parts, {
    image: 'sha256:abc',
    entrypoint: undefined,
    command: ['sh'],
    user: config.user,
    env: { A: '1' },
    network: 'net-1',
    aliases: ['build'],
    mounts: order.service !== true,
    stdin: order.service !== true,
    host: order.service === true ? config.services : config.build,
    volumes: config.volumes,
    ...order,
  });
  return asked[0] ?? {};
}

describe('what a container is made of', () => {
  test('R8 an image by its id, the network of the job, the checkout that the runner made, labels to find it by', async () => {
    expect(await made({})).toMatchObject({
      Image: 'sha256:abc',
      Env: ['A=1'],
      Labels: { 'com.jobpass.job': '7' },
      WorkingDir: '/seen/group/app',
      HostConfig: {
        Privileged: false,
        CapAdd: [],
        SecurityOpt: [],
        NetworkMode: 'net-1',
        Binds: [],
        Mounts: [
          { Type: 'bind', Source: '/slot/group/app', Target: '/seen/group/app' },
          { Type: 'bind', Source: '/slot/group/app.tmp', Target: '/seen/group/app.tmp' },
        ],
      },
      NetworkingConfig: { EndpointsConfig: { 'net-1': { Aliases: ['build'] } } },
    });
  });

  test.each([
    ['privileged', { privileged: true }, { Privileged: true }, { Privileged: true }],
    ['services_privileged', { privileged: true, services_privileged: false }, { Privileged: true }, { Privileged: false }],
    ['cap_add', { cap_add: ['SYS_ADMIN'] }, { CapAdd: ['SYS_ADMIN'] }, { CapAdd: ['SYS_ADMIN'] }],
    ['cap_drop', { cap_drop: ['ALL'] }, { CapDrop: ['ALL'] }, { CapDrop: ['ALL'] }],
    ['security_opt', { security_opt: ['seccomp=unconfined'] }, { SecurityOpt: ['seccomp=unconfined'] }, { SecurityOpt: [] }],
    [
      'services_security_opt',
      { services_security_opt: ['no-new-privileges'] },
      { SecurityOpt: [] },
      { SecurityOpt: ['no-new-privileges'] },
    ],
    ['memory', { memory: '512m', memory_swap: '1g' }, { Memory: 536_870_912, MemorySwap: 1_073_741_824 }, {}],
    ['service_memory', { service_memory: '64m' }, {}, { Memory: 67_108_864 }],
    ['cpus', { cpus: '1.5', cpuset_cpus: '0,1', cpu_shares: 512 }, { NanoCpus: 1_500_000_000, CpusetCpus: '0,1', CpuShares: 512 }, {}],
    ['service_cpus', { service_cpus: '0.25' }, {}, { NanoCpus: 250_000_000 }],
    ['network_mode', { network_mode: 'none' }, { NetworkMode: 'none' }, { NetworkMode: 'none' }],
    ['volumes', { volumes: ['/cache', '/host:/inside:ro'] }, { Binds: ['/host:/inside:ro'] }, { Binds: ['/host:/inside:ro'] }],
  ])('R13 %s reaches the build container and the services as it says', async (_key, docker, build, service) => {
    const network = 'network_mode' in docker ? undefined : 'net-1';
    expect((await made(docker, { network }))['HostConfig']).toMatchObject(build);
    expect((await made(docker, { network, service: true }))['HostConfig']).toMatchObject(service);
  });

  test('a path alone is a volume of the container; the user and the entrypoint are set where somebody names them', async () => {
    expect(await made({ volumes: ['/cache'] })).toMatchObject({ Volumes: { '/cache': {} } });
    const plain = await made({});
    expect([Object.hasOwn(plain, 'User'), Object.hasOwn(plain, 'Entrypoint')]).toEqual([false, false]);
    expect(await made({ user: '1000' }, { entrypoint: [''] })).toMatchObject({ User: '1000', Entrypoint: [''] });
  });

  test('allowed_images and allowed_services are patterns over the name as it is written; none = any', () => {
    const check = (name: string, patterns: readonly string[], own?: string) => () => checkAllowed(name, patterns, own, 'service');
    expect(check('anything:1', [])).not.toThrow();
    expect(check('redis:7', ['postgres:*'])).toThrow('The service "redis:7" is not allowed by this runner');
    for (const name of ['postgres:15', 'team/db/x:1']) expect(check(name, ['postgres:*', 'team/*/*'])).not.toThrow();
    expect(() => checkAllowed('evil/postgres:15', ['postgres:*'], undefined, 'image')).toThrow('The image "evil/postgres:15"');
    expect(check('own:1', ['postgres:*'], 'own:1')).not.toThrow();
  });
});

test('R13 a key that this runner would not heed is refused, unless it stands there unset as `gitlab-runner register` writes it', () => {
  expect(() => parseDocker({ image: 'a', oom_kill_disable: false, network_mtu: 0, helper_image: '', links: [] })).not.toThrow();
  for (const key of [{ oom_kill_disable: true }, { network_mtu: 1400 }, { helper_image: 'x' }, { links: ['a'] }, { new_key: {} }])
    expect(() => parseDocker({ image: 'a', ...key })).toThrow(/does not have that/);
});
