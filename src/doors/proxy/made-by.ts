const depth = 6;

/**
 * What an answer of the forge says was made: commits by their sha, pipelines and jobs by their number, so that what runs on them is known
 * as started by a pass (R5). @param body JSON
 */
export function madeBy(body: Buffer): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return [];
  }
  const found = new Set<string>();
  collect(value, found, depth);
  return [...found];
}

function collect(value: unknown, found: Set<string>, left: number): void {
  if (typeof value !== 'object' || value === null || left === 0) return;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  for (const name of ['id', 'sha', 'commit_id', 'target']) {
    const text = fields[name];
    if (typeof text === 'string' && /^[0-9a-f]{40}$/.test(text)) found.add(text);
  }
  const { id } = fields;
  // A pipeline has a source, a job has a stage; nothing else in the table has either.
  if (typeof id === 'number' && typeof fields['source'] === 'string' && 'sha' in fields) found.add(`pipeline:${id}`);
  if (typeof id === 'number' && typeof fields['stage'] === 'string') found.add(`job:${id}`);
  for (const inner of Object.values(fields)) collect(inner, found, left - 1);
}
