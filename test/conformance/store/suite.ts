import { afterAll, beforeAll, describe } from 'vitest';
import { openStore, type Store } from '../../../src/store/open.ts';
import { accountCases } from './accounts.ts';
import { auditCases } from './audit.ts';
import type { TestEngine } from './engine.ts';
import { commitStatusCases } from './commit-statuses.ts';
import { flowCases } from './flow.ts';
import { imageCases } from './images.ts';
import { jobCases } from './jobs.ts';
import { jobRightsCases } from './job-rights.ts';
import { passCases } from './passes.ts';
import { projectCases } from './projects.ts';
import { pushLogCases } from './push-log.ts';
import { registryTokenCases } from './registry-tokens.ts';
import { releaseCases } from './releases.ts';
import { revocationCases } from './revocations.ts';
import { runnerCases } from './runners.ts';
import { scheduleCases } from './schedules.ts';
import { triggerCases } from './triggers.ts';
import { mergeRequestCases } from './merge-requests.ts';
import { packageCases } from './packages.ts';
import { schemaCases } from './schema.ts';
import { transactionCases } from './transactions.ts';
import { variableCases } from './variables.ts';
import { visibilityCases } from './visibility.ts';

/** What a group of cases works on: one store, opened before the first of them. */
export interface Bench {
  readonly engine: TestEngine;
  readonly store: Store;
  readonly url: string;
}

/** All that a store must do, whatever it stands on. */
export function storeConformance(engine: TestEngine): void {
  const groups: readonly (readonly [string, (bench: Bench) => void])[] = [
    ['transactions', transactionCases],
    ['accounts', accountCases],
    ['projects', projectCases],
    ['visibility', visibilityCases],
    ['push log', pushLogCases],
    ['releases', releaseCases],
    ['images', imageCases],
    ['registry tokens', registryTokenCases],
    ['passes', passCases],
    ['revocations', revocationCases],
    ['jobs', jobCases],
    ['commit statuses', commitStatusCases],
    ['job rights', jobRightsCases],
    ['what the server moves', flowCases],
    ['schedules', scheduleCases],
    ['triggers', triggerCases],
    ['packages', packageCases],
    ['merge requests', mergeRequestCases],
    ['runners', runnerCases],
    ['variables', variableCases],
    ['audit', auditCases],
  ];
  for (const [name, cases] of groups) {
    describe(name, () => {
      let url: string;
      let store: Store;
      beforeAll(async () => {
        url = await engine.fresh();
        store = await openStore(url);
      });
      afterAll(() => store.close());
      cases({
        engine,
        get url() {
          return url;
        },
        get store() {
          return store;
        },
      });
    });
  }
  describe('schema', () => schemaCases(engine));
  afterAll(() => engine.stop());
}
