import type { Reporter, TestCase } from 'vitest/node';

/**
 * In CI a test that fails is asked once more. One that passes then hides nothing: it is named at the end, with what it said at first. Each is a fault, of
 * the test or of what it tests, and is to be explained.
 */
export default class Unsteady implements Reporter {
  readonly #found: string[] = [];

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky !== true) return;
    const said = (test.result().errors ?? []).map(({ message, stack }) => (stack ?? message).replaceAll(/^/gm, '      '));
    this.#found.push(`  - ${test.module.relativeModuleId} > ${test.fullName}\n${said.join('\n')}`);
  }

  onTestRunEnd(): void {
    if (this.#found.length > 0) console.log(`\nunsteady (${this.#found.length}), passed when asked again:\n${this.#found.join('\n')}`);
  }
}
