import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * What takes longest, the longest first: begun last, one of them would run on alone. Order matters here, not completeness. Suites that count what an
 * engine or this machine runs are left where they are, so that they do not meet.
 */
const longest = [
  'walk/writes',
  'walk/reads',
  'forge/oci/crash',
  'e2e/package',
  'walk/large-files',
  'walk/doors',
  'walk/death',
  'cli/serve',
  'conformance/store/postgres',
  'jobs/trigger',
  'gateway/robust',
  'forge/merge-requests/merge-requests',
  'forge/git/push',
  'cli/gate',
  'gateway/stories',
];

/** Fills all workers to the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return place < 0 ? longest.length : place;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}
