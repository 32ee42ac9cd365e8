import { executors } from './executors.ts';
import { kindWords, type Row } from './row.ts';
import { entryRows } from './rows/entry.ts';
import { globalRows } from './rows/global.ts';

const intro = `# The gate

\`jobpass gate --config config.toml\` reads gitlab-runner's own file and says whether jobs of that machine may see their pass, and why. Printed from
the same tables that it judges by: \`node scripts/gate-doc.mjs > docs/gate.md\`.

- **The worst entry decides for the whole file.** A shell job beside a docker job can read the other's files, and the runner holds the tokens and keys of
  all entries. Entries with a daemon of their own (\`host\`, Kubernetes, machines) are no exception: an address does not tell whether two daemons are one.
- **Unknown is unsafe**: a key or an executor that is not below, a value of another type, a key that is there twice in other letters, an empty or
  unreadable file. Keys are matched as gitlab-runner matches them: upper and lower case alike (but for \`feature_flags\` and \`plugin_config\`).
- **Adding a key never helps**, but for those under *has to have*.
- Sections of other executors than the entry's own are judged as well.
- Where each job has a machine of its own, what reaches the machine (marked *machine*) is no matter.
- \`--for gitlab-runner\` or \`--for jobpass\` says what runs the jobs: jobpass runner makes a network and volumes for each job, gitlab-runner only when told.

**What the file does not show**, and nobody but you can judge: who else uses the daemon or the cluster, who may read pods in the namespace, credentials in the
runner's own \`~/.docker/config.json\`, a \`DOCKER_HOST\` in its environment, what is baked into machine images, what rights machines have in the cloud, and a
daemon's own settings.

## A verdict for an older runner

A jobpass runner signs its verdict with every request. For an older runner an administrator pins it:

\`\`\`
jobpass gate --config /etc/gitlab-runner/config.toml --apply --server https://forge.example --token-file admin.token
\`\`\`

It goes to the runners whose entry has this server's \`url\` and an \`id\`, or to \`--runner ID\`; again after every change of the file; \`--clear\` takes it away.
A pinned \`withhold\` wins over all that a runner reports. A pinned \`expose\` counts only for a runner without a registered key, and only with trust \`full\`; instance,
project and user bound it as always. Over the API: \`PUT /api/v4/runners/:id\` with \`pinned_verdict\` (\`withhold\`, \`expose\`, \`none\`) and \`pinned_reasons[]\`.

Exit codes: 0 expose, 1 withhold, 2 wrong use, 3 the server did not take the pin.
`;

/** `docs/gate.md`. */
export function reference(): string {
  const sections = [...sectionsOf('The file', '', globalRows), ...sectionsOf('`[[runners]]`', 'runners', entryRows)];
  return [
    intro,
    executorTable(),
    ...sections
      .filter(({ rows }, index) => sections.findIndex((one) => one.rows === rows) === index)
      .map(({ title, rows }) => {
        const same = sections.filter((one) => one.rows === rows);
        // Sections that are alike, such as the security contexts, are printed once.
        return print(same.length === 1 ? title : [...new Set(same.map(({ name }) => `\`${name}\``))].join(', '), rows);
      }),
  ].join('\n');
}

function executorTable(): string {
  const lines = Object.entries(executors).map(([name, { boundary, reason, remedy, sections, needs }]) => {
    const wants = [
      ...sections.map((section) => `\`[runners.${section}]\``),
      ...needs.map(
        ({ path, must, servedBy }) => `\`${path.join('.')}\` ${must.words}${servedBy === undefined ? '' : ` (with ${servedBy})`}`,
      ),
    ];
    return boundary === null
      ? `| \`${name}\` | **unsafe**: ${reason}. ${remedy} | |`
      : `| \`${name}\` | ${boundary}: ${reason} | ${wants.join(', ')} |`;
  });
  return ['## Executors', '', '| executor | what keeps jobs apart | has to have |', '|---|---|---|', ...lines, ''].join('\n');
}

interface Titled {
  readonly title: string;
  readonly name: string;
  readonly rows: readonly Row[];
}

/** A section, then those within it that have something unsafe in them. */
function sectionsOf(title: string, path: string, rows: readonly Row[]): Titled[] {
  const nested = rows.flatMap((row) => {
    if (row.section === undefined || row.safe !== undefined || isHarmless(row)) return [];
    const name = path === '' ? row.key : `${path}.${row.key}`;
    return sectionsOf(row.kind === 'tables' ? `\`[[${name}]]\`` : `\`[${name}]\``, name, row.section.rows);
  });
  // A table that only holds others has nothing to say itself.
  if (!rows.some((row) => row.safe !== undefined || isHarmless(row))) return nested;
  return [{ title, name: path.split('.').at(-1) ?? '', rows }, ...nested];
}

function isHarmless(row: Row): boolean {
  return row.safe === undefined && (row.section?.rows ?? []).every(isHarmless);
}

function print(title: string, rows: readonly Row[]): string {
  const table = rows
    .filter((row) => row.safe !== undefined)
    .map(
      (row) =>
        `| \`${row.key}\` | ${kindWords[row.kind]}${inner(row)} | ${row.safe?.words ?? ''} | ${row.reason}${row.machine ? ' (*machine*)' : ''} | ${row.remedy} |`,
    );
  const plain = rows.filter(isHarmless).flatMap((row) => keysOf(row));
  return [
    `## ${title}`,
    '',
    ...(table.length === 0 ? [] : ['| key | is | safe when | otherwise | what to do |', '|---|---|---|---|---|', ...table, '']),
    ...(plain.length === 0 ? [] : [`Any value is safe: ${plain.map((key) => `\`${key}\``).join(', ')}.`, '']),
  ].join('\n');
}

function inner({ section }: Row): string {
  return section === undefined
    ? ''
    : ` with ${section.rows
        .flatMap(keysOf)
        .map((key) => `\`${key}\``)
        .join(', ')}`;
}

/** The key, and those below it: `cache.s3.Insecure`. */
function keysOf({ key, section }: Row): string[] {
  return section === undefined ? [key] : section.rows.flatMap(keysOf).map((below) => `${key}.${below}`);
}
