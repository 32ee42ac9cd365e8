import { limits } from '../base/limits.ts';
import { type Fields, isFields } from './fields.ts';
import type { CiPlace } from './plan.ts';
import type { PlaceOf } from './reader.ts';
import { fits, type Locate } from './yaml.ts';

/** A file as it was written, with the files that it includes, in their order. */
export interface SourceFile {
  /** For people; left out for the file that the pipeline begins with. */
  readonly name?: string;
  readonly root: Fields;
  readonly locate: Locate;
  readonly includes: readonly SourceFile[];
}

/**
 * Puts what is included under the file that includes it, as GitLab does: a later file wins over an earlier one, the including file over all;
 * maps are merged key by key, everything else is replaced.
 * @returns undefined where that comes to more than a file may hold
 * @see GitLab, CI/CD YAML syntax reference: `include`
 */
export function mergeFiles(source: SourceFile): { readonly root: Fields; readonly placeOf: PlaceOf } | undefined {
  // Every file's keys are met once, and each meets those that were there.
  const work = { left: 20 * limits.ciNodes };
  const root = merged(source, work);
  if (work.left < 0 || !fits(root)) return undefined;
  return { root, placeOf: placeIn(inOrder(source)) };
}

interface Work {
  left: number;
}

function merged({ root, includes }: SourceFile, work: Work): Fields {
  let under: Fields = {};
  for (const file of includes) under = merge(under, merged(file, work), work);
  const { include: _include, ...own } = root;
  return includes.length === 0 ? own : merge(under, own, work);
}

function merge(under: Fields, over: Fields, work: Work): Fields {
  const result = new Map(Object.entries(under));
  const own = Object.entries(over);
  work.left -= result.size + own.length;
  if (work.left < 0) return {};
  for (const [key, value] of own) {
    const below = result.get(key);
    result.set(key, isFields(below) && isFields(value) ? merge(below, value, work) : value);
  }
  return Object.fromEntries(result);
}

/** Those that win first. */
function inOrder(source: SourceFile): readonly SourceFile[] {
  return [source, ...source.includes.toReversed().flatMap(inOrder)];
}

/** The file that has most of the path is where it stands; of several, the one that wins. */
function placeIn(files: readonly SourceFile[]): PlaceOf {
  return (path) => {
    let best: { readonly depth: number; readonly place: CiPlace } = { depth: 0, place: {} };
    for (const { name, locate } of files) {
      const { depth, line } = locate(path);
      if (depth > best.depth)
        best = { depth, place: { ...(line === undefined ? {} : { line }), ...(name === undefined ? {} : { file: name }) } };
    }
    return best.place;
  };
}
