import { type JobId, millis, type ProjectId, type UserId } from '../../src/base/ids.ts';
import { newPassToken, type PassKind } from '../../src/base/pass-token.ts';
import type { PassLimit } from '../../src/ports/passes.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';
import { archiveForm, zipOf } from '../support/zip.ts';
import type { Person, ScopedPlace } from './oracle.ts';

/** Values for the parameters of a row's path, and whatever a sample's body needs. */
export type Params = Readonly<Record<string, string>>;

export interface Target {
  readonly key: string;
  readonly id: number;
  readonly groupId: number;
  readonly path: string;
  readonly project: ScopedPlace;
  readonly group: ScopedPlace;
  /** Roles are given on the project itself, not on its group. */
  readonly direct: boolean;
  readonly params: Params;
}

export interface World {
  readonly server: TestServer;
  readonly people: readonly Person[];
  /** By person: a job that runs in the project `own`, as that person. */
  readonly jobs: ReadonlyMap<string, Claimed>;
  readonly foreignJob: Claimed;
  readonly targets: readonly Target[];
  /** Where `renamed` was before. */
  readonly oldPath: string;
  pass(
    kind: PassKind,
    people: readonly Person[],
    options?: { job?: Claimed; expired?: true; revoked?: true; limits?: readonly PassLimit[] },
  ): Promise<string>;
  projectId(key: string): ProjectId;
  /** A number that was not given before. */
  next(): number;
}

export const roles = [0, 10, 15, 20, 30, 40, 50] as const;
const ciFile = 'stages: [test]\njob:\n  script: ["true"]\n  environment: test\nlater:\n  when: manual\n  script: ["true"]\n';

/** A server with a person for every role, and a project of every kind with something in it for every route that reads. */
export async function buildWorld(): Promise<World> {
  const server = await startTestServer();
  const { must } = server;
  const people: Person[] = [];
  for (const role of roles) people.push({ name: `w${role}`, role, admin: false, ...(await server.user(`w${role}`)) });
  people.push({ name: 'wadmin', role: 0, admin: true, ...(await admin(server, 'wadmin')) });
  const buddy = await server.user('buddy');
  const runner = await server.runner();
  await must('POST', '/api/v4/admin/ci/variables', { key: 'WALKED', value: 'x' });

  const targets: Target[] = [];
  for (const [key, visibility] of [
    ['own', 'private'],
    ['private', 'private'],
    ['internal', 'internal'],
    ['public', 'public'],
    ['hidden', 'private'],
    ['renamed', 'private'],
    ['archived', 'private'],
  ] as const)
    targets.push(await makeTarget(server, people, { key, visibility, buddy: buddy.id, runner: runner.token }));
  await must('PUT', `/api/v4/projects/${idOf(targets, 'renamed')}`, { path: 'moved' });
  const jobs = new Map<string, Claimed>();
  for (const person of people) jobs.set(person.name, await runningJob(server, targets[0], person, runner.token));
  const elsewhere = await server.project('elsewhere/app');
  await server.commit(elsewhere, '.gitlab-ci.yml', ciFile);
  const foreignJob = await claimed(server, runner.token);
  await must('POST', `/api/v4/projects/${idOf(targets, 'archived')}/archive`);
  const heard = keepHeard(server, [...jobs.values(), foreignJob]);

  let last = 0;
  return {
    server: {
      ...server,
      stop() {
        clearInterval(heard);
        return server.stop();
      },
    },
    people,
    jobs,
    foreignJob,
    targets: targets.map((target) => (target.key === 'renamed' ? { ...target, path: 'g-renamed/moved' } : target)),
    oldPath: 'g-renamed/app',
    projectId: (key) => idOf(targets, key) as ProjectId,
    next: () => (last += 1),
    async pass(kind, principals, { job = jobs.get('w40') ?? foreignJob, expired, revoked, limits = [] } = {}) {
      const secret = newPassToken(kind);
      const row = await server.store.jobs.job(null, job.id as JobId);
      if (row === undefined) throw new Error('no job');
      const now = Date.now();
      await server.store.transactor.write(async (tx) => {
        const id = await server.store.passes.insert(tx, {
          kind,
          digest: secret.digest(),
          jobId: row.id,
          pipelineId: row.pipelineId,
          projectId: row.projectId,
          sha: row.sha,
          parentId: null,
          principals: principals.map((person) => ({ userId: person.id as UserId, reason: 'starter' as const })),
          ownProjectOnly: false,
          chainDepth: 0,
          limits,
          issuedAt: millis(now - 1000),
          expiresAt: millis(expired === true ? now - 1 : now + 600_000),
        });
        if (revoked === true) await server.store.passes.revoke(tx, id, 'the walk', millis(now));
      });
      return secret.reveal();
    },
  };
}

/** The walk may take longer than a silent runner is believed (R2), and is not about that. A runner that a test made silent stays so. */
function keepHeard(server: TestServer, jobs: readonly Claimed[]): NodeJS.Timeout {
  const say = async (job: JobId): Promise<void> => {
    const now = Date.now();
    await server.store.transactor.write(async (tx) => {
      const row = await server.store.jobs.job(tx, job);
      if (now - (row?.contactAt ?? 0) < 150_000) await server.store.jobs.changeJob(tx, job, ['running'], { contactAt: millis(now) });
    });
  };
  return setInterval(() => {
    for (const { id } of jobs) void say(id as JobId).catch(() => undefined);
  }, 30_000).unref();
}

async function admin(server: TestServer, username: string): Promise<{ id: number; token: string }> {
  const { id } = await server.must('POST', '/api/v4/users', { username, name: username, email: `${username}@example.com`, admin: true });
  const { token } = await server.must('POST', `/api/v4/users/${String(id)}/personal_access_tokens`, { name: 'walk', scopes: ['api'] });
  return { id: Number(id), token: String(token) };
}

const idOf = (targets: readonly Target[], key: string): number => targets.find((target) => target.key === key)?.id ?? 0;

interface Wanted {
  readonly key: string;
  readonly visibility: 'private' | 'internal' | 'public';
  readonly buddy: number;
  readonly runner: string;
}

async function makeTarget(server: TestServer, people: readonly Person[], { key, visibility, buddy, runner }: Wanted): Promise<Target> {
  const { must } = server;
  const slug = `g-${key}`;
  const direct = key === 'renamed' || key === 'archived';
  const hidden = key === 'hidden';
  const groupId = Number((await must('POST', '/api/v4/groups', { name: slug, path: slug, visibility }))['id']);
  const id = Number((await must('POST', '/api/v4/projects', { name: 'app', path: 'app', namespace_id: groupId, visibility }))['id']);
  const P = `/api/v4/projects/${id}`;
  for (const person of hidden ? [] : people.filter(({ role }) => role > 0)) {
    const where = direct ? P : `/api/v4/groups/${groupId}`;
    await must('POST', `${where}/members`, { user_id: person.id, access_level: person.role });
  }
  for (const where of [P, `/api/v4/groups/${groupId}`]) await must('POST', `${where}/members`, { user_id: buddy, access_level: 20 });
  await must('POST', '/api/v4/groups', { name: 'sub', path: 'sub', parent_id: groupId });
  const sha = await server.commit(id, '.gitlab-ci.yml', ciFile);
  const job = await claimed(server, runner);
  const own = { 'job-token': job.token };
  await server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, { headers: { ...own, 'content-range': '0-4' }, raw: 'hello' });
  const form = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.zip"\r\n\r\nPK\r\n--b--\r\n';
  const type = { 'content-type': 'multipart/form-data; boundary=b' };
  const archive = archiveForm(zipOf({ 'out/report.txt': 'walked' }));
  await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, { headers: { ...own, ...type }, raw: archive });
  await server.finish(job);
  await must('POST', `${P}/repository/branches`, { branch: 'work', ref: 'main' });
  await must('POST', `${P}/repository/branches`, { branch: 'request', ref: 'main' });
  await server.commit(id, 'asked.txt', 'x', { branch: 'request' });
  await must('POST', `${P}/repository/tags`, { tag_name: 'v1', ref: 'main' });
  const link = { name: 'tool', url: 'https://example.com/tool', direct_asset_path: '/bin/tool' };
  const release = await must('POST', `${P}/releases`, { tag_name: 'v1', description: 'first', assets: { links: [link] } });
  for (const where of [P, `/api/v4/groups/${groupId}`]) await must('POST', `${where}/variables`, { key: 'WALKED', value: 'x' });
  for (const name of ['r*', 'kept']) await must('POST', `${P}/protected_tags`, { name, create_access_level: 40 });
  const schedule = await must('POST', `${P}/pipeline_schedules`, { description: 'nightly', ref: 'work', cron: '0 4 1 1 *' });
  const request = await must('POST', `${P}/merge_requests`, { source_branch: 'request', target_branch: 'main', title: 'walk' });
  const note = await must('POST', `${P}/merge_requests/${String(request['iid'])}/notes`, { body: 'walk' });
  const file = { headers: { 'private-token': server.root }, raw: 'walk' };
  await server.call('PUT', `${P}/packages/generic/tool/1/tool`, file);
  const { list: held } = await server.call('GET', `${P}/packages`, { token: server.root });
  const sent = await server.call('POST', `${P}/uploads`, { headers: { 'private-token': server.root, ...type }, raw: form });
  const trigger = await must('POST', `${P}/triggers`, { description: 'bot' });
  const made = await server.call('GET', `${P}/jobs/${job.id}`, { token: server.root });
  const later = await server.call('GET', `${P}/jobs?scope[]=manual`, { token: server.root });
  await server.store.transactor.write((tx) => server.store.resourceGroups.ensure(tx, id as ProjectId, 'deploy', millis(Date.now())));
  await drain(server, runner);
  const places = await server.store.environments.list(null, id as ProjectId, {}, { page: 1, perPage: 1 });
  const level = (person: Person, given: boolean): number => (hidden || !given ? 0 : person.role);
  return {
    key,
    id,
    groupId,
    direct,
    path: `${slug}/app`,
    project: { kind: 'project', key, visibility, archived: key === 'archived', levelOf: (person) => level(person, true) },
    group: { kind: 'group', key, visibility, archived: false, levelOf: (person) => level(person, !direct) },
    params: {
      user_id: String(buddy),
      file_path: '.gitlab-ci.yml',
      branch: 'work',
      tag_name: 'v1',
      sha,
      link_id: String((release['assets'] as { links: { id: number }[] }).links[0]?.id),
      pipeline_id: String((made.body['pipeline'] as { id: number }).id),
      job_id: String(job.id),
      manual_id: String(later.list[0]?.['id']),
      name: 'main',
      key: 'deploy',
      environment_id: String(places.rows[0]?.id),
      deployment_id: String(job.id),
      schedule_id: String(schedule['id']),
      trigger_id: String(trigger['id']),
      iid: String(request['iid']),
      note_id: String(note['id']),
      version_id: String(request['id']),
      package_name: 'tool',
      package_version: '1',
      package_id: String(held[0]?.['id']),
      secret: String(sent.body['url']).split('/')[2] ?? '',
      filename: 'a.zip',
      repository_id: await pushImage(server, id, `${slug}/app`, 'image'),
    },
  };
}

/** A job in `own` that the person started; what the person may do there is set right afterwards. */
async function runningJob(server: TestServer, own: Target | undefined, person: Person, runner: string): Promise<Claimed> {
  if (own === undefined) throw new Error('no project');
  const members = `/api/v4/groups/${own.groupId}/members`;
  const set = (level: number) =>
    person.role === 0
      ? server.must('POST', members, { user_id: person.id, access_level: level })
      : server.must('PUT', `${members}/${person.id}`, { access_level: level });
  if (!person.admin) await set(40);
  await server.must('POST', `/api/v4/projects/${own.id}/pipeline`, { ref: 'main' }, person.token);
  const job = await claimed(server, runner);
  if (person.admin) return job;
  if (person.role === 0) await server.must('DELETE', `${members}/${person.id}`);
  else await set(person.role);
  return job;
}

async function claimed(server: TestServer, runner: string): Promise<Claimed> {
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job to take');
  return job;
}

async function drain(server: TestServer, runner: string): Promise<void> {
  for (let job = await server.claim(runner); job !== undefined; job = await server.claim(runner)) await server.finish(job);
}

/** An index of no images, with the tag `v1`. @returns the repository's number */
export async function pushImage(server: TestServer, project: number, path: string, name: string): Promise<string> {
  const type = 'application/vnd.oci.image.index.v1+json';
  const body = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [] });
  const headers = { authorization: `Bearer ${server.root}`, 'content-type': type };
  const pushed = await server.call('PUT', `/v2/${path}/${name}/manifests/v1`, { headers, raw: body });
  if (pushed.status !== 201) throw new Error(pushed.text);
  const { list } = await server.call('GET', `/api/v4/projects/${project}/registry/repositories?per_page=100`, { token: server.root });
  return String(list.find((one) => one['name'] === name)?.['id']);
}
