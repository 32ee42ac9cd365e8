import { Secret } from '../../base/secret.ts';
import { type Api, numberOf, textOf } from './http.ts';

/** Someone in the demo: a user with a token of their own. */
export interface Person {
  readonly id: number;
  readonly username: string;
  readonly email: string;
  readonly token: Secret;
}

/** What the demo's forge holds before the pipeline starts. */
export interface Setup {
  readonly alice: Person;
  readonly appId: number;
}

const developer = 30;
const reporter = 20;

/**
 * Four groups, four private projects and one ordinary user: alice writes the application, may read the library and the settings,
 * and may push to the site. Nobody else is a member of anything.
 */
export async function setUpForge(root: Api): Promise<Setup> {
  const alice = await makeUser(root, 'alice');
  const groups = new Map<string, number>();
  for (const name of ['demo-app', 'demo-libs', 'demo-ops', 'demo-docs', 'demo-images']) {
    groups.set(name, numberOf(await root.post('/api/v4/groups', { name, path: name, visibility: 'private' }), 'id'));
  }
  const project = async (group: string, name: string, level: number): Promise<number> => {
    const made = await root.post('/api/v4/projects', { name, path: name, namespace_id: groups.get(group), visibility: 'private' });
    const id = numberOf(made, 'id');
    await root.post(`/api/v4/projects/${id}/members`, { user_id: alice.id, access_level: level });
    return id;
  };
  const appId = await project('demo-app', 'app', 40);
  await project('demo-libs', 'greeting', reporter);
  await project('demo-ops', 'settings', reporter);
  await project('demo-docs', 'site', developer);
  await project('demo-images', 'toolbox', reporter);
  return { alice, appId };
}

async function makeUser(root: Api, username: string): Promise<Person> {
  const email = `${username}@example.com`;
  const user = await root.post('/api/v4/users', {
    username,
    name: username.replace(/^./, (letter) => letter.toUpperCase()),
    email,
    reset_password: true,
  });
  const id = numberOf(user, 'id');
  const token = await root.post(`/api/v4/users/${id}/personal_access_tokens`, { name: 'demo', scopes: ['api'] });
  return { id, username, email, token: new Secret(textOf(token, 'token')) };
}

/** Makes an instance runner. @returns its id and the token that it registers with */
export async function makeRunner(root: Api, tag: string): Promise<{ readonly id: number; readonly token: Secret }> {
  const made = await root.post('/api/v4/user/runners', {
    runner_type: 'instance_type',
    description: tag,
    tag_list: [tag],
    run_untagged: false,
  });
  return { id: numberOf(made, 'id'), token: new Secret(textOf(made, 'token')) };
}
