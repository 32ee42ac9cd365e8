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

/**
 * @param node path of a Node.js that jobs may run
 * @param witness address that the last step shows its pass to; only the demo does such a thing
 */
export function applicationFiles(node: string, witness: string): Files {
  return { 'README.md': '# app\n', '.gitlab-ci.yml': pipelineFile(node, witness), 'ci/story.mjs': storyScript, 'ci/push.sh': pushScript };
}

function pipelineFile(node: string, witness: string): string {
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

# Asks to see its pass. Only a runner that an admin marked with --unsafe shows it on the shell executor.
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

const storyScript = `// What people paste personal tokens into CI variables for; here with nothing but the job's pass.
const { CI_API_V4_URL: api, CI_PROJECT_ID: project, CI_COMMIT_SHA: sha, CI_EXTENDED_JOB_TOKEN: pass, WITNESS: witness } = process.env;
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
const steps = {
  read: async () => {
    await call('GET', settings);
    console.log('next version:', await version());
  },
  release: async () => {
    await call('POST', '/projects/' + project + '/releases', {
      tag_name: await version(),
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
# The pass reaches git through a credential helper: it is in no URL, no argument and no file.
ask='!f() { test "$1" = get && printf "username=gitlab-ci-token\\npassword=%s\\n" "$CI_EXTENDED_JOB_TOKEN"; }; f'
rm -rf ../site-work
git -c credential.helper= -c credential.helper="$ask" clone --quiet "$CI_SERVER_URL/demo-docs/site.git" ../site-work
cd ../site-work
echo "built from $CI_COMMIT_SHORT_SHA" > build.txt
git add build.txt
git -c user.name="$GITLAB_USER_NAME" -c user.email="$GITLAB_USER_EMAIL" commit --quiet -m "Publish build of $CI_COMMIT_SHORT_SHA"
git -c credential.helper= -c credential.helper="$ask" push --quiet origin HEAD:refs/heads/published
cd - >/dev/null
rm -rf ../site-work
`;
