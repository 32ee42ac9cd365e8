import type { CiJob } from './ci-file.ts';
import { readInherit } from './defaults.ts';
import { type Fields, scalarText } from './fields.ts';
import { keywords } from './keywords.ts';
import { readParallel } from './parallel.ts';
import { readCommon } from './read-common.ts';
import { readCoverage } from './read-coverage.ts';
import { readEnvironment } from './read-environment.ts';
import { checkDelay, readManualConfirmation, readResourceGroup, readStartIn } from './read-flow.ts';
import { readJobNeeds } from './read-needs.ts';
import { checkPolicies, readExcept, readOnly } from './read-policy.ts';
import { readRelease } from './read-release.ts';
import { upstreamNeed } from './read-remote-need.ts';
import { readRules } from './read-rules.ts';
import { readTrigger } from './read-trigger.ts';
import { readRawVariables, readVariables } from './read-variables.ts';
import { readAllowFailure, readWhen } from './read-when.ts';
import { type PartReader, shorten } from './reader.ts';

type ReadKeyword = (value: unknown, path: readonly string[], reader: PartReader) => Partial<CiJob>;

/** A keyword of jobs alone is a row here; its messages begin with the job's name. Those of `default`, too, stand in `read-common.ts`. */
const jobKeywords: ReadonlyMap<string, ReadKeyword> = new Map<string, ReadKeyword>([
  ['script', (value, path, reader) => ({ script: reader.script(value, path, true) })],
  ['variables', (value, path, reader) => ({ variables: readVariables(value, path, reader), ...readRawVariables(value) })],
  ['needs', readJobNeeds],
  ['dependencies', (value, path, reader) => ({ dependencies: reader.texts(value, path) })],
  ['rules', (value, path, reader) => ({ rules: readRules(value, path, reader) })],
  ['only', readOnly],
  ['except', readExcept],
  ['inherit', (value, path, reader) => ({ inherit: readInherit(value, path, reader) })],
  ['parallel', (value, path, reader) => ({ parallel: readParallel(value, path, reader) })],
  ['when', readWhen],
  ['start_in', readStartIn],
  ['manual_confirmation', readManualConfirmation],
  ['resource_group', readResourceGroup],
  ['trigger', readTrigger],
  ['environment', readEnvironment],
  ['allow_failure', readAllowFailure],
  ['release', readRelease],
  ['coverage', readCoverage],
]);

/** @param path where the job stands; its name is the last of it */
export function readJob(name: string, fields: Fields, stages: readonly string[], file: PartReader): CiJob {
  const reader = file.within(`job \`${shorten(name)}\``);
  if (!isName(name)) reader.error([name], 'a name has 1 to 255 characters');
  const watches = upstreamNeed(fields['needs']) !== undefined;
  const place = watches || Object.hasOwn(fields, 'trigger') ? 'bridge' : 'job';
  if (watches && Object.hasOwn(fields, 'trigger'))
    reader.error([name, 'needs'], 'needs: a job that shows another pipeline can have no `trigger`');
  reader.checkKeys(fields, place, [name]);
  if (place === 'job' && !Object.hasOwn(fields, 'script')) reader.error([name], '`script` is missing');
  let job: CiJob = {
    name,
    place: file.placeOf([name]),
    stage: readStage(fields['stage'] ?? 'test', [name, 'stage'], stages, reader),
    script: [],
    variables: {},
    allowFailureExitCodes: [],
    ...readCommon(fields, place, [name], reader),
  };
  for (const [keyword, read] of jobKeywords)
    if (Object.hasOwn(fields, keyword) && fields[keyword] !== undefined && keywords[place].get(keyword)?.status === 'supported')
      job = { ...job, ...read(fields[keyword], [name, keyword], reader) };
  checkDelay(job, [name], reader);
  checkPolicies(job, [name], reader);
  return job;
}

function readStage(value: unknown, path: readonly string[], stages: readonly string[], reader: PartReader): string {
  const stage = scalarText(value);
  if (typeof value !== 'string' || !stages.includes(value))
    reader.error(path, `chosen stage \`${shorten(stage)}\` does not exist; available stages are ${shorten(stages.join(', '), 500)}`);
  return stage;
}

/** What a job or a stage may be called. */
export function isName(text: string): boolean {
  return text !== '' && text.length <= 255;
}
