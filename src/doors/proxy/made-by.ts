const depth = 6;

type Fields = Readonly<Record<string, unknown>>;

/** Rows whose answers name what they changed nothing of: a status, a note or a link starts no job. */
const startsNothing =
  /\/(?:statuses\/:sha|notes(?:\/:note_id)?|discussions|issues(?:\/:iid)?|milestones\/:milestone_id|links(?:\/:link_id)?|approve|unapprove)$/;

/** Rows whose answers name a pipeline or a job. */
const startsJobs = /\/(?:pipelines?|retry|play)$/;

/**
 * What an answer of the forge says was made, so that what runs on it is known as started by a pass (R5): commits by their sha, pipelines and jobs by
 * their number, tags by their name, branches and merge requests by name and sha, as what stands there was there before.
 * @param endpoint row of the table @param body JSON
 * @returns undefined where it should say, and does not
 */
export function madeBy(endpoint: string, body: Buffer): readonly string[] | undefined {
  const fields = fieldsOf(parsed(body));
  const text = (name: string, of: Fields = fields): string | undefined => {
    const value = of[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  };
  if (startsNothing.test(endpoint)) return [];
  if (endpoint.endsWith('/repository/branches'))
    return [`refs/heads/${text('name') ?? ''}@${text('id', fieldsOf(fields['commit'])) ?? ''}`];
  if (endpoint.endsWith('/repository/tags')) return [`refs/tags/${text('name') ?? ''}`];
  if (/\/releases(?:\/:tag_name)?$/.test(endpoint)) return [`refs/tags/${text('tag_name') ?? ''}`];
  const request = `refs/merge-requests/${text('iid') ?? ''}`;
  if (/\/merge_requests(?:\/:iid)?$/.test(endpoint))
    return [`${request}@${text('sha') ?? ''}`, ...(text('state') === 'closed' ? [`ends:${request}`] : [])];
  if (endpoint.endsWith('/merge_requests/:iid/merge'))
    return [
      ...['merge_commit_sha', 'squash_commit_sha'].flatMap((name) => shaIn(fields[name])),
      // A fast-forward makes no commit.
      `refs/heads/${text('target_branch') ?? ''}@${text('sha') ?? ''}`,
      // Its source branch may go with it.
      `ends:${request}`,
      `ends:refs/heads/${text('source_branch') ?? ''}`,
    ];
  if (endpoint.endsWith('/repository/commits')) return fields['id'] === undefined ? undefined : shaIn(fields['id']);
  const found = new Set<string>();
  collect(fields, found, depth);
  return found.size === 0 && startsJobs.test(endpoint) ? undefined : [...found];
}

/** What a job runs on, in the words of `madeBy`. @param ref `main`, or `refs/merge-requests/7/head` */
export function runsOn(job: {
  readonly id: number;
  readonly pipelineId: number;
  readonly sha: string;
  readonly ref: string;
  readonly tag: boolean;
}): readonly string[] {
  const [, request] = /^refs\/merge-requests\/(\d+)\//.exec(job.ref) ?? [];
  const ref = request === undefined ? `refs/heads/${job.ref}` : `refs/merge-requests/${request}`;
  return [
    job.sha,
    `pipeline:${job.pipelineId}`,
    `job:${job.id}`,
    ...(job.tag ? [`refs/tags/${job.ref}`] : [`${ref}@${job.sha}`, `ends:${ref}`]),
  ];
}

/** Pipelines and jobs; the commit that they run on was there before. */
function collect(value: unknown, found: Set<string>, left: number): void {
  if (typeof value !== 'object' || value === null || left === 0) return;
  const fields: Fields = { ...value };
  const { id } = fields;
  // A pipeline has a source, a job has a stage; nothing else in the table has either.
  if (typeof id === 'number' && typeof fields['source'] === 'string' && 'sha' in fields) found.add(`pipeline:${id}`);
  if (typeof id === 'number' && typeof fields['stage'] === 'string') found.add(`job:${id}`);
  for (const inner of Object.values(fields)) collect(inner, found, left - 1);
}

function shaIn(value: unknown): readonly string[] {
  return typeof value === 'string' && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(value) ? [value] : [];
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
