/** The files that the demo pushes: an application with a private submodule of another group, and a pipeline that uses its pass. */

/** A file's path and text. */
export type Files = Readonly<Record<string, string>>;

export const libraryFiles: Files = {
  'README.md': '# greeting\n\nA private library of another group.\n',
  'greeting.txt': 'hello from a private submodule\n',
};

export const settingsFiles: Files = {
  'README.md': '# settings\n\nWhat the application needs to know before it is released.\n',
  'next-version.txt': 'v1.0.0\n',
};

export interface StoryPlace {
  /** A Node.js that jobs may run. */
  readonly node: string;
  /** Address that the last step shows its pass to; only the demo does such a thing. */
  readonly witness: string;
  /** Jobs that show their pass run in containers; else on the shell executor that an admin marked with --unsafe. */
  readonly containers: boolean;
}

export function applicationFiles(place: StoryPlace): Files {
  return { 'README.md': '# app\n', '.gitlab-ci.yml': pipelineFile(place), 'ci/story.mjs': storyScript, 'ci/push.sh': pushScript };
}

function pipelineFile(place: StoryPlace): string {
  const jobs = place.containers ? [containerJob('variable', place.witness), containerJob('replace', '')] : [shellJob(place)];
  return `stages: [build, publish]

variables:
  GIT_SUBMODULE_STRATEGY: recursive
  GIT_DEPTH: "0"

# Runs on a runner as it should be: it clones with its fetch pass and shows the script nothing.
build:
  stage: build
  tags: [demo-safe]
  script:
    - cat lib/greeting.txt
    - if [ -n "$CI_EXTENDED_JOB_TOKEN" ]; then echo "the pass is in the environment"; exit 1; fi
    - echo "the pass is withheld from this script"
    - if git -c credential.helper= ls-remote "$CI_SERVER_URL/demo-libs/greeting.git"; then exit 1; fi
  artifacts:
    paths: [lib/greeting.txt]

${jobs.join('\n')}`;
}

function shellJob({ node, witness }: StoryPlace): string {
  return `# Asks to see its pass. Only a runner that an admin marked with --unsafe shows it on the shell executor.
publish:
  stage: publish
  tags: [demo-exposed]
  variables:
    JOBPASS_EXPOSE: variable
    NODE: "${node}"
    WITNESS: "${witness}"
  script:
    - '"$NODE" ci/story.mjs read'
    - sh ci/push.sh
    - '"$NODE" ci/story.mjs release'
    - '"$NODE" ci/story.mjs witness'
`;
}

function containerJob(exposure: 'variable' | 'replace', witness: string): string {
  const where = exposure === 'variable' ? 'in a variable of its own' : 'in place of CI_JOB_TOKEN';
  return `# In a private build image of another group's project, with its pass ${where}.
${exposure}:
  stage: publish
  image: $CI_REGISTRY/demo-images/toolbox:1
  tags: [demo-container]
  variables:
    JOBPASS_EXPOSE: ${exposure}
    WITNESS: "${witness}"
  script:
    - cat lib/greeting.txt
    - node ci/story.mjs read
    - sh ci/push.sh
    - node ci/story.mjs registry
    - node ci/story.mjs release${witness === '' ? '' : '\n    - node ci/story.mjs witness'}
`;
}

const storyScript = `// What people paste personal tokens into CI variables for; here with nothing but the job's pass.
import { createHash } from 'node:crypto';
const { CI_API_V4_URL: api, CI_SERVER_URL: server, CI_PROJECT_ID: project, CI_COMMIT_SHA: sha, WITNESS: witness, CI_JOB_NAME: job } = process.env;
const pass = process.env.CI_EXTENDED_JOB_TOKEN ?? process.env.CI_JOB_TOKEN;
const call = async (method, path, body) => {
  const answer = await fetch(api + path, {
    method,
    headers: { 'PRIVATE-TOKEN': pass, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  console.log(method, path, '->', answer.status);
  if (!answer.ok) throw new Error(text);
  return text;
};
const settings = '/projects/' + encodeURIComponent('demo-ops/settings');
const version = async () => (await call('GET', settings + '/repository/files/next-version.txt/raw?ref=main')).trim();
// The registry's own protocol, as docker and skopeo speak it.
const registry = async (scope) => {
  const basic = 'Basic ' + Buffer.from('gitlab-ci-token:' + pass).toString('base64');
  const query = new URLSearchParams([['service', 'container_registry'], ...scope.map((one) => ['scope', one])]);
  const { token } = await (await fetch(server + '/jwt/auth?' + query, { headers: { Authorization: basic } })).json();
  return async (method, path, body, type) => {
    const answer = await fetch(server + path, { method, body, headers: { Authorization: 'Bearer ' + token, ...(type && { 'Content-Type': type }) } });
    console.log(method, path.replace(/sha256:([0-9a-f]{8})[0-9a-f]+/g, 'sha256:$1…'), '->', answer.status);
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  };
};
const digest = (bytes) => 'sha256:' + createHash('sha256').update(bytes).digest('hex');
const steps = {
  read: async () => {
    await call('GET', settings);
    console.log('next version:', await version());
  },
  registry: async () => {
    const call = await registry(['repository:demo-images/toolbox:pull', 'repository:demo-docs/site/proof:pull,push']);
    const image = await (await call('GET', '/v2/demo-images/toolbox/manifests/1')).json();
    console.log('the build image has', image.layers[0].size, 'bytes');
    const note = JSON.stringify({ builtFrom: sha, by: job });
    await call('POST', '/v2/demo-docs/site/proof/blobs/uploads/?digest=' + digest(note), note, 'application/octet-stream');
    const empty = '{}';
    await call('POST', '/v2/demo-docs/site/proof/blobs/uploads/?digest=' + digest(empty), empty, 'application/octet-stream');
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digest(empty), size: 2 };
    const layers = [{ mediaType: 'application/json', digest: digest(note), size: note.length }];
    await call('PUT', '/v2/demo-docs/site/proof/manifests/' + job, JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers }), type);
    await call('GET', '/v2/demo-docs/site/proof/manifests/' + job);
  },
  release: async () => {
    await call('POST', '/projects/' + project + '/releases', {
      tag_name: (await version()) + (job === 'replace' ? '-replace' : ''),
      ref: sha,
      name: 'First release',
      description: 'Made by a job with its pass.',
      assets: { links: [{ name: 'handbook', url: 'https://docs.example.com/handbook.pdf', link_type: 'other' }] },
    });
  },
  witness: async () => {
    const answer = await fetch(witness, { method: 'POST', body: pass });
    console.log('the witness tried the pass:', await answer.text());
  },
};
await steps[process.argv[2]]();
`;

const pushScript = `set -e
export PASS="\${CI_EXTENDED_JOB_TOKEN:-$CI_JOB_TOKEN}"
# The pass reaches git through a credential helper: it is in no URL, no argument and no file.
ask='!f() { test "$1" = get && printf "username=gitlab-ci-token\\npassword=%s\\n" "$PASS"; }; f'
rm -rf ../site-work
git -c credential.helper= -c credential.helper="$ask" clone --quiet "$CI_SERVER_URL/demo-docs/site.git" ../site-work
cd ../site-work
echo "built from $CI_COMMIT_SHORT_SHA" > build.txt
git add build.txt
git -c user.name="$GITLAB_USER_NAME" -c user.email="$GITLAB_USER_EMAIL" commit --quiet -m "Publish build of $CI_COMMIT_SHORT_SHA"
git -c credential.helper= -c credential.helper="$ask" push --quiet origin "HEAD:refs/heads/published-$CI_JOB_NAME"
cd - >/dev/null
rm -rf ../site-work
`;
