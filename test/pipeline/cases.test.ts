import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { isFields } from '../../src/pipeline/fields.ts';
import { planPipeline } from '../../src/pipeline/evaluate.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { type CiError, errorText, type PlanJob } from '../../src/pipeline/plan.ts';

/**
 * A case is a file of parts between lines of `---`: what is given (`given: {NAME: value}`; may be left out), the CI file, and what it comes to:
 * `jobs` (each with at least these values, and no others) or `errors`.
 */
const folder = new URL('../cases/', import.meta.url);
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yml'));

test.each(names.toSorted())('test/cases/%s', (name) => {
  const parts = readFileSync(new URL(name, folder), 'utf8').split(/^---\n/m);
  const [text = '', expected = ''] = parts.slice(-2);
  const settings: unknown = parts.length > 2 ? parse(parts[0] ?? '') : undefined;
  const given = isFields(settings) && isFields(settings['given']) ? Object.entries(settings['given']) : [];
  const wanted: unknown = parse(expected);
  const result = outcome(text, new Map(given.map(([key, value]) => [key, String(value)])));
  if (isFields(wanted) && 'errors' in wanted) expect(result.errors).toEqual(wanted['errors']);
  else {
    expect(result.errors).toEqual([]);
    expect({ jobs: result.jobs }).toMatchObject(wanted as object);
  }
});

function outcome(text: string, given: ReadonlyMap<string, string>): { errors: readonly string[]; jobs: readonly PlanJob[] } {
  const failed = (errors: readonly CiError[]) => ({ errors: errors.map(errorText), jobs: [] });
  const parsed = parseCiFile(text);
  if (!parsed.ok) return failed(parsed.errors);
  const planned = planPipeline(parsed.file, given);
  return planned.ok ? { errors: [], jobs: planned.plan.jobs } : failed(planned.errors);
}
