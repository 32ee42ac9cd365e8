import type { Endpoint } from '../../src/policy/endpoints.ts';
import { type Permission, permissionRule } from '../../src/policy/permissions.ts';
import { nameOf, type Sample } from './sample.ts';
import type { Target } from './world.ts';

/** Why a full pass with one principal is answered otherwise than the same user's own token, in every cell of the row; undefined = it is not. */
export function differenceOf(row: Endpoint, sample: Sample): string | undefined {
  const permissions: readonly Permission[] = sample.asks ?? row.permissions;
  const never = permissions.find((permission) => permissionRule(permission).pass === 'never');
  if (never !== undefined) return `refused: \`${never}\` is never for a pass (R5)`;
  const own = permissions.find((permission) => permissionRule(permission).pass === 'own');
  if (own !== undefined) return `403 outside the job's own project, unless a ceiling names \`${own}\` (R5)`;
  if (sample.pass !== undefined) return `${sample.pass.status}: ${sample.pass.why}`;
  if (permissions.includes('job:self')) return 'answered: it is about the job itself; a person hears 403 (R3)';
  if (permissions.includes('pass:self')) return 'answered: it is about the pass itself; a personal token is none (R3)';
  return undefined;
}

/** A job's own project, which its passes may always fetch, whatever its user's role has become. */
export function isOwnSource(row: Endpoint, sample: Sample, { key }: Target): boolean {
  return key === 'own' && (sample.asks ?? row.permissions).every((permission) => permission === 'code:download');
}

const intro = `# Where a pass and its user's own token part

Generated from test/walk by \`scripts/differences-doc.mjs\`; do not edit. The walk calls every route of the endpoint table with a full pass and with its
user's own token, for every role and every kind of project, and compares status and body. They are the same but for this page. What of GitLab the embedded forge has not at all stands [at its end](#what-gitlab-has-and-the-embedded-forge-has-not).

- Admin power never counts for a pass (R1): an administrator's pass may do what the same person could without it.
- A pass may always fetch the project of its own job, as the ordinary job token may (R3).
- A refusal names the user, who is "You" where the user asks.
- What no pass ever does (R5), and what is about the job or the pass itself:
`;

const others = `## What GitLab has and the embedded forge has not

Behind \`jobpass gateway\` GitLab itself answers, and has it all. Of \`jobpass serve\` they who come from GitLab would miss:

- **Pages to look at.** There are none: \`web_url\` in an answer is a name and leads nowhere. \`glab\`, curl and python-gitlab show pipelines, traces and merge requests.
- **Signing in** by password, SSO or a second factor: people have personal access tokens, which an administrator makes first. No git over SSH, no deploy keys and tokens, no tokens of
  projects and groups.
- **Planning**: issues (their list is empty), labels of a project, milestones, boards, epics, wikis, snippets; GraphQL; search; lists over all projects but that of projects.
- **Of merge requests**: approvals (nobody's is asked for), reviewers, threads and suggestions (each note stands by itself; one is changed by who wrote it), earlier versions of the differences, auto-merge, merge trains, rebasing.
- **Of repositories**: blame, contributors, languages, single blobs; comments on commits, and cherry-picks and reverts over the API. What is pushed are branches, tags and notes (\`refs/notes/\`).
- **Two credentials at once** are refused (R17), also a personal token beside a trigger token: python-gitlab's \`trigger_pipeline\` is called on a \`Gitlab\` without \`private_token\`.
- **Of pipelines**: what [keywords.md](keywords.md) and [variables.md](variables.md) list as refused, with the reason: templates, components and \`include:remote\`, Pages, \`secrets\`. Reports other than
  \`dotenv\` are kept as artifacts and not evaluated. No protected environments, no secure files, no Terraform state, no feature flags, no Auto DevOps.
- **Lists** by what is not looked at here (commits by \`since\`, say, or members by \`query\`): such a parameter is refused, where GitLab lists fewer. Not so what only orders a list.
- **Packages** of other types than generic; the dependency proxy; clean-up policies of images.
- **Around it**: webhooks, mail, integrations, mirrors, import and export; groups are neither renamed nor removed over the API.
`;

/** docs/differences.md. */
export function differencesPage(rows: readonly (readonly [Endpoint, Sample])[]): string {
  const lines = rows.flatMap(([row, sample]) => {
    const difference = differenceOf(row, sample);
    return difference === undefined ? [] : [`| \`${nameOf(row)}\` | ${difference} |`];
  });
  return `${intro}\n| route | a full pass |\n|---|---|\n${lines.join('\n')}\n\nEvery other route answers both alike.\n\n${others}`;
}
