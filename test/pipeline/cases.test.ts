import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { isFields } from '../../src/pipeline/fields.ts';
import { planPipeline } from '../../src/pipeline/evaluate.ts';
import { type Given, givenInRules, shownGiven } from '../../src/pipeline/given.ts';
import { readArguments } from '../../src/pipeline/inputs.ts';
import { loadFiles } from '../../src/pipeline/include-files.ts';
import { parseFiles } from '../../src/pipeline/parse.ts';
import { type CiError, errorText, type Plan } from '../../src/pipeline/plan.ts';
import { caseSource } from './case-source.ts';

/**
 * A case is a file of parts between lines of `---`: what is given (`given: {NAME: value}`, and what `caseSource` takes; may be left out), the
 * CI file (below `header`, a text, where there is one, with `inputs`), and what it comes to: `jobs` (each with at least these values, and no others), `name` of the pipeline, or `errors`.
 */
const folder = new URL('../cases/', import.meta.url);
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yml'));

test.each(names.toSorted())('test/cases/%s', async (name) => {
  const parts = readFileSync(new URL(name, folder), 'utf8').split(/^---\n/m);
  const [text = '', expected = ''] = parts.slice(-2);
  const settings: unknown = parts.length > 2 ? parse(parts[0] ?? '') : undefined;
  const wanted: unknown = parse(expected);
  const result = await outcome(text, settings);
  if (isFields(wanted) && 'errors' in wanted) expect(result.errors).toEqual(wanted['errors']);
  else {
    expect(result.errors).toEqual([]);
    expect(result.plan).toMatchObject(wanted as object);
  }
});

/** `given` is over the file's variables, as it stands; `predefined` below them; `kept` over them, put together, `in` (environment → the same for its jobs) and `secret` as well. */
function givenIn(settings: unknown): Given {
  const part = (name: string) => {
    const values = isFields(settings) && isFields(settings[name]) ? Object.entries(settings[name]) : [];
    return values.map(([key, value]) => ({ key, value: String(value), raw: name === 'given', secret: name === 'secret' }));
  };
  const predefined = new Map(part('predefined').map(({ key, value }) => [key, value]));
  const places = isFields(settings) && isFields(settings['in']) ? settings['in'] : {};
  const over = (place: unknown = {}) => [
    ...part('kept'),
    ...(isFields(place) ? Object.entries(place).map(([key, value]) => ({ key, value: String(value), raw: false, secret: false })) : []),
    ...part('secret'),
    ...part('given'),
  ];
  return { predefined, over: over(), overIn: (environment) => over(places[environment]) };
}

async function outcome(text: string, settings: unknown): Promise<{ errors: readonly string[]; plan?: Plan }> {
  const given = givenIn(settings);
  const failed = (errors: readonly CiError[]) => ({ errors: errors.map(errorText) });
  const source = caseSource(settings);
  const part = (name: string) => (isFields(settings) ? settings[name] : undefined);
  const header = part('header');
  const whole = typeof header === 'string' ? `${header}---\n${text}` : text;
  const inputs = readArguments(part('inputs') ?? {});
  const loaded = await loadFiles(whole, '.gitlab-ci.yml', source.here, source, shownGiven(given), givenInRules(given), inputs);
  if (!loaded.ok) return failed(loaded.errors);
  const parsed = parseFiles(loaded.file);
  if (!parsed.ok) return failed(parsed.errors);
  const planned = planPipeline(parsed.file, given, source.known);
  return planned.ok ? { errors: [], plan: planned.plan } : failed(planned.errors);
}
