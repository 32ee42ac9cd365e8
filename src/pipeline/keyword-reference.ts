import { type Keyword, keywords } from './keywords.ts';

const head = `# Keywords of .gitlab-ci.yml

GitLab's keywords, and where each stands here. Printed from the table that the parser judges by: \`node scripts/keywords-doc.mjs > docs/keywords.md\`.

A keyword that is not supported, or that nobody knows, is an error with its name and line; none is passed over. Hidden jobs (\`.name\`), anchors, merge keys
and \`!reference\` work as in GitLab. A key that stands twice in one map is an error, too: GitLab takes the last one, and people see the first.

- \`cache\`: the server puts trust tier and principals behind each key (R15, [doors/runner.md](doors/runner.md)), so \`unprotect: true\` is refused; files of a key are paths without \`*\`.
- \`id_tokens\`: [id-tokens.md](id-tokens.md).
- \`artifacts:access\` counts for \`needs:project\`, too: whoever could not download the archive over the API gets it into no job of another project.
- \`variables\` and \`parallel:matrix\` take texts and whole numbers: \`1.10\` would be 1.1, so it is to be quoted. \`$[[ matrix.NAME ]]\` in \`needs:parallel:matrix\` is not supported: write the values.
- \`JOBPASS_EXPOSE\`, \`JOBPASS_PERMISSIONS\` and names like these, where they mean nothing, are warnings of \`ci/lint\`.
- \`trigger\`: what runs again in a downstream pipeline reopens the bridge that waited for it, where who retries may run jobs there. With \`strategy: mirror\` a bridge is
  \`manual\` while its pipeline waits for somebody to play a job; that is played below, not at the bridge.
- \`needs:pipeline\` without \`job\`: everybody behind the job must be allowed to see that project's pipelines, when it begins and when it ends (R3).
- \`inputs\`: \`$[[ inputs.name ]]\` with \`expand_vars\`, \`truncate\`, \`posix_escape\`; values from \`include\`, \`trigger\`, \`POST /projects/:id/pipeline\` and trigger tokens. A value goes in as what it is: a text
  never becomes other YAML, where GitLab puts it into the file's text. A masked variable is put into none. Whoever gives inputs, or wrote a file that
  \`spec:include\` names, is a principal of the pipeline's jobs (R3). Where none of its \`rules\` holds, a text is empty. A pipeline is given at most 20.
- \`only\` and \`except\` are older words for \`rules\`, taken as GitLab takes them (deprecated there, too); a job that has neither those nor \`rules\` is for branches and tags.
- \`release\`: after the script the runner gets a step that makes the release with the job token. It needs curl in the image, else the release-cli or glab that the image brings; variables that the
  script itself exports are not seen. A tag that it makes starts no pipeline (R5).
`;

/** docs/keywords.md: the keyword table for people. */
export function keywordReference(): string {
  const places = Object.entries(keywords).map(([place, table]) => `\n## ${place}\n\n${rows(table)}`);
  return head + places.join('');
}

function rows(table: ReadonlyMap<string, Keyword>): string {
  const of = (status: Keyword['status']): string =>
    [...table]
      .flatMap(([name, keyword]) =>
        keyword.status === status
          ? [`\`${name}\`${status === 'refused' ? ` (${keyword.reason.replace(/^is not supported: /, '')})` : ''}`]
          : [],
      )
      .join(', ');
  const lines = (['supported', 'refused'] as const).flatMap((status) => {
    const names = of(status);
    return names === '' ? [] : [`- ${status}: ${names}`];
  });
  return `${lines.join('\n')}\n`;
}
