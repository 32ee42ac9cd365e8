import type { CiJob } from './ci-file.ts';
import { type Fields, isFields, scalarText } from './fields.ts';
import { type InputArguments, notArguments, readArguments } from './inputs.ts';
import type { PlanTrigger, TriggerInclude } from './plan.ts';
import { type PartReader, shorten } from './reader.ts';

const mostIncludes = 3;
const textLength = 255;

/** @see GitLab, CI/CD YAML syntax reference: `trigger` */
export function readTrigger(value: unknown, path: readonly string[], outer: PartReader): Pick<CiJob, 'trigger'> {
  const reader = outer.within('trigger');
  if (typeof value === 'string') return { trigger: { project: projectOf(value, path, reader), forward: byDefault } };
  if (!isFields(value)) {
    outer.error(path, "`trigger` must be a project's path, or a map with `project` or `include`");
    return {};
  }
  reader.checkKeys(value, 'trigger', path);
  const { project, include } = value;
  if ((project === undefined) === (include === undefined)) reader.error(path, 'exactly one of `project` and `include` must be there');
  if (project === undefined && value['branch'] !== undefined) reader.error([...path, 'branch'], '`branch` goes with `project`');
  if (include !== undefined && value['inputs'] !== undefined)
    reader.error([...path, 'inputs'], '`inputs` goes with `project`; those of a child pipeline stand below `include`');
  return {
    trigger: {
      ...(project === undefined ? {} : { project: projectOf(project, [...path, 'project'], reader) }),
      ...(value['branch'] === undefined ? {} : { branch: textOf(value['branch'], [...path, 'branch'], reader) }),
      ...(include === undefined ? {} : { include: readIncludes(include, [...path, 'include'], reader) }),
      ...(value['strategy'] === undefined ? {} : readStrategy(value['strategy'], [...path, 'strategy'], reader)),
      ...readInputs(value['inputs'], [...path, 'inputs'], reader),
      forward: readForward(value['forward'], [...path, 'forward'], reader),
    },
  };
}

function readInputs(value: unknown, path: readonly string[], reader: PartReader): { readonly inputs?: InputArguments } {
  if (value === undefined) return {};
  const inputs = readArguments(value);
  if (inputs === undefined) reader.error(path, notArguments);
  return inputs === undefined ? {} : { inputs };
}

const byDefault: PlanTrigger['forward'] = { yamlVariables: true, pipelineVariables: false };

function readStrategy(value: unknown, path: readonly string[], reader: PartReader): Pick<PlanTrigger, 'strategy'> {
  if (value === 'depend' || value === 'mirror') return { strategy: value };
  reader.error(path, '`strategy` must be depend or mirror');
  return {};
}

function readForward(value: unknown, path: readonly string[], reader: PartReader): PlanTrigger['forward'] {
  if (value === undefined) return byDefault;
  if (!isFields(value)) {
    reader.error(path, '`forward` must be a map');
    return byDefault;
  }
  reader.within('forward').checkKeys(value, 'forward', path);
  const flag = (name: string, otherwise: boolean): boolean => {
    const given = value[name] ?? otherwise;
    if (typeof given !== 'boolean') reader.error([...path, name], `\`forward:${name}\` must be true or false`);
    return given === true;
  };
  return { yamlVariables: flag('yaml_variables', true), pipelineVariables: flag('pipeline_variables', false) };
}

function readIncludes(value: unknown, path: readonly string[], reader: PartReader): readonly TriggerInclude[] {
  const entries: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (entries.length === 0 || entries.length > mostIncludes) {
    reader.error(path, `\`include\` must name 1 to ${mostIncludes} files`);
    return [];
  }
  const read = entries.flatMap((entry, index) => readInclude(entry, [...path, String(index)], reader));
  if (read.length > 1 && read.some((one) => 'artifact' in one)) reader.error(path, '`include:artifact` must stand alone');
  return read;
}

function readInclude(value: unknown, path: readonly string[], outer: PartReader): readonly TriggerInclude[] {
  const reader = outer.within('include');
  if (typeof value === 'string') return [{ local: fileOf(value, path, reader) }];
  if (!isFields(value)) {
    outer.error(path, 'each entry of `include` must be a file name or a map');
    return [];
  }
  reader.checkKeys(value, 'trigger_include', path);
  const inputs = readInputs(value['inputs'], [...path, 'inputs'], reader);
  if (value['local'] !== undefined) return [{ ...inputs, local: fileOf(value['local'], [...path, 'local'], reader) }];
  if (value['artifact'] !== undefined) return [{ ...inputs, ...readArtifact(value, path, reader) }];
  if (value['project'] !== undefined)
    return [
      {
        ...inputs,
        project: projectOf(value['project'], [...path, 'project'], reader),
        file: fileOf(value['file'], [...path, 'file'], reader),
        ...(value['ref'] === undefined ? {} : { ref: textOf(value['ref'], [...path, 'ref'], reader) }),
      },
    ];
  reader.error(path, '`local`, `project` with `file`, or `artifact` with `job`, must be there');
  return [];
}

function readArtifact(value: Fields, path: readonly string[], reader: PartReader): TriggerInclude {
  if (typeof value['job'] !== 'string') reader.error(path, '`artifact` needs `job`, whose archive it is in');
  return { artifact: fileOf(value['artifact'], [...path, 'artifact'], reader), job: scalarText(value['job']) };
}

function fileOf(value: unknown, path: readonly string[], reader: PartReader): string {
  const file = textOf(value, path, reader).replace(/^\//, '');
  if (!/\.ya?ml$/.test(file)) reader.error(path, `\`${shorten(file)}\` must end with .yml or .yaml`);
  return file;
}

function projectOf(value: unknown, path: readonly string[], reader: PartReader): string {
  const project = textOf(value, path, reader);
  if (!project.includes('/') && !project.includes('$')) reader.error(path, 'a project is named by its whole path');
  return project;
}

function textOf(value: unknown, path: readonly string[], reader: PartReader): string {
  const text = scalarText(value);
  if (text === '' || text.length > textLength) reader.error(path, `must be a text of 1 to ${textLength} characters`);
  return text;
}
