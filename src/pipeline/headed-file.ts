import { partHeader } from './header.ts';
import type { FunctionContext } from './input-functions.ts';
import { hasInputs, type InputArguments, type InputSpec, resolveInputs } from './inputs.ts';
import { interpolate, withStandIns } from './interpolate.ts';
import type { CiError } from './plan.ts';
import type { CiInclude } from './read-include.ts';
import { readSpec } from './read-spec.ts';
import { shorten } from './reader.ts';
import { readYaml, severalDocuments, type YamlFile } from './yaml.ts';

/** A file whose header was read. */
export interface OpenedFile {
  /** For people. */
  readonly file: { readonly file?: string };
  /** What stands below the header, on its own lines. */
  readonly body: string;
  /** Undefined where it has no header: it takes no inputs. */
  readonly spec?: {
    readonly inputs: ReadonlyMap<string, InputSpec>;
    /** Files that have more of them, to be read with `readInputsFile`. */ readonly includes: readonly CiInclude[];
  };
}

/** Reads a file's header. Never throws. @param file its name, for people */
export function openHeaded(
  text: string,
  file: { readonly file?: string },
): ({ readonly ok: true } & OpenedFile) | { readonly ok: false; readonly errors: readonly CiError[] } {
  const parts = partHeader(text);
  if (parts === undefined) return { ok: false, errors: [{ ...file, message: severalDocuments }] };
  if (parts.header === undefined) return { ok: true, file, body: parts.body };
  const spec = readSpec(parts.header, file);
  return spec.ok ? { ok: true, file, body: parts.body, spec } : spec;
}

/**
 * Reads what stands below the header, and puts in what that asks for. Never throws.
 * @param shared inputs of the files that the header includes, in their order
 */
export function readHeaded(
  { file, body, spec }: OpenedFile,
  given: InputArguments,
  context: FunctionContext,
  shared: readonly ReadonlyMap<string, InputSpec>[] = [],
): YamlFile {
  const failure = (messages: readonly string[], line?: number): YamlFile => ({
    ok: false,
    errors: messages.map((message): CiError => ({ ...(line === undefined ? {} : { line }), ...file, message })),
  });
  const named = (yaml: YamlFile): YamlFile => (yaml.ok ? yaml : { ok: false, errors: yaml.errors.map((error) => ({ ...error, ...file })) });
  if (spec === undefined)
    return hasInputs(given)
      ? failure(['Given inputs not defined in the `spec` section of the included configuration file'])
      : named(readYaml(body));
  const specs = together([...shared, spec.inputs]);
  if ('twice' in specs) return failure([specs.twice]);
  const inputs = resolveInputs(specs.all, given);
  if ('errors' in inputs) return failure(inputs.errors);
  const blocked = withStandIns(body);
  if (blocked === undefined) return failure(['a file with inputs holds no characters U+E000 and U+E001']);
  const yaml = named(readYaml(blocked.text));
  if (!yaml.ok) return yaml;
  const done = interpolate(yaml.value, yaml.locate, blocked, { ...context, inputs: inputs.values });
  return done.ok ? done : failure([done.message], yaml.locate(done.path).line);
}

/** As GitLab since 18.9: which of two would count is nobody's guess. @see GitLab, "CI/CD inputs": duplicate input keys */
function together(
  specs: readonly ReadonlyMap<string, InputSpec>[],
): { readonly all: ReadonlyMap<string, InputSpec> } | { readonly twice: string } {
  const all = new Map<string, InputSpec>();
  const twice = new Set<string>();
  for (const [name, spec] of specs.flatMap((one) => [...one])) {
    if (all.has(name)) twice.add(name);
    all.set(name, spec);
  }
  if (twice.size === 0) return { all };
  const names = shorten([...twice].join(', '), 500);
  return { twice: `Duplicate input keys found: ${names}. Input keys must be unique across all included files and inline specifications.` };
}
