import { expander } from '../pipeline/variables.ts';
import type { PlanRelease } from '../pipeline/plan.ts';
import type { JobStep, JobVariable } from '../wire/runner.ts';

/**
 * The step that makes a job's release, after its script: by curl, or else by the release-cli or glab that the image brings. Variables are put in here, so that
 * no value is ever read as shell; only the token is the shell's, and curl reads it from its standard input: an argument list is there for all to see (R6).
 * @see GitLab, CI/CD YAML syntax reference: `release`; GitLab REST API, "Create a release"
 */
export function releaseStep(release: PlanRelease, variables: readonly JobVariable[], timeout: number): JobStep {
  const known = variables.filter(({ file }) => file !== true);
  const valuesOf = (raw: boolean) => new Map(known.filter((one) => (one.raw === true) === raw).map(({ key, value }) => [key, value]));
  const { text } = expander(valuesOf(false), valuesOf(true));
  const tag = text(release.tagName);
  const description = text(release.description);
  const optional = (written: string | undefined): string | undefined => (written === undefined ? undefined : text(written));
  const [name, message, releasedAt] = [optional(release.name), optional(release.tagMessage), optional(release.releasedAt)];
  const ref = text(release.ref ?? '$CI_COMMIT_SHA');
  const links = release.links.map(({ name: linkName, url, filepath, linkType }) => ({
    name: text(linkName),
    url: text(url),
    ...(filepath === undefined ? {} : { filepath: text(filepath) }),
    link_type: linkType,
  }));
  const field = (key: string, value: string | undefined): readonly string[] =>
    value === undefined ? [] : [`--data-urlencode ${quoted(`${key}=${value}`)}`];
  const flag = (key: string, value: string | undefined): readonly string[] => (value === undefined ? [] : [`${key} ${quoted(value)}`]);
  const api = '"$CI_API_V4_URL/projects/$CI_PROJECT_ID/releases';
  const fields = [
    ...field('tag_name', tag),
    ...field('ref', ref),
    ...field('name', name),
    ...field('tag_message', message),
    ...field('released_at', releasedAt),
  ];
  const curl = [
    `post() { printf 'header = "JOB-TOKEN: %s"\\n' "$CI_JOB_TOKEN" | curl --config - --silent --show-error --fail-with-body --output /dev/null "$@"; }`,
    `if [ -f ${quoted(description)} ]; then set -- ${quoted(`description@${description}`)}; else set -- ${quoted(`description=${description}`)}; fi`,
    `post ${fields.join(' ')} --data-urlencode "$1" ${api}" || exit 1`,
    ...links.map((link) => {
      const linkFields = Object.entries(link).flatMap(([key, value]) => field(key, value));
      return `post ${linkFields.join(' ')} ${api}/${encodeURIComponent(tag).replaceAll("'", '%27')}/assets/links" || exit 1`;
    }),
  ];
  const cli = [
    ...flag('--tag-name', tag),
    ...flag('--description', description),
    ...flag('--name', name),
    ...flag('--ref', ref),
    ...flag('--tag-message', message),
    ...flag('--released-at', releasedAt),
    ...links.flatMap((link) => flag('--assets-link', JSON.stringify(link))),
  ];
  const glab = [
    quoted(tag),
    ...flag('--experimental-notes-text-or-file', description),
    ...flag('--name', name),
    ...flag('--ref', ref),
    ...flag('--tag-message', message),
    ...flag('--released-at', releasedAt),
    ...(links.length === 0 ? [] : flag('--assets-links', JSON.stringify(links))),
    '--no-update',
    '--no-close-milestone',
  ];
  return {
    name: 'release',
    script: [
      [
        'if command -v curl >/dev/null 2>&1; then',
        ...curl,
        'elif command -v release-cli >/dev/null 2>&1; then',
        `release-cli create ${cli.join(' ')}`,
        'elif command -v glab >/dev/null 2>&1; then',
        `GLAB_ENABLE_CI_AUTOLOGIN=true glab release create -R "$CI_PROJECT_PATH" ${glab.join(' ')}`,
        'else',
        "echo 'A job with release: needs curl, release-cli or glab in its image.' >&2",
        'exit 1',
        'fi',
      ].join('\n'),
    ],
    timeout,
    when: 'on_success',
    allow_failure: false,
  };
}

/** A word of the shell that stands for itself. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
