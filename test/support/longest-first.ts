import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest, the longest first: begun last, one of them would run on alone. Order matters here, not completeness. */
const longest = [
  'walk/writes',
  'walk/reads',
  'forge/oci/crash',
  'e2e/package',
  'runner/docker',
  'e2e/containers',
  'walk/large-files',
  'walk/doors',
  'walk/death',
  'conformance/executor/docker',
  'cli/serve',
  'conformance/executor/ssh',
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
