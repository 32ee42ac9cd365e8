import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { millis } from '../../src/base/ids.ts';
import { fromStates, hasEnded, moves, nextMoves, pipelineStatus } from '../../src/jobs/state.ts';
import type { JobRecord, JobStatus } from '../../src/ports/jobs.ts';
import { sampleJob as job } from '../support/sample-job.ts';

const statuses = Object.keys(moves) as JobStatus[];

const need = (name: string) => ({ job: name, artifacts: true });

const anyJobs = fc
  .array(
    fc.record({
      stageIndex: fc.nat(3),
      status: fc.constantFrom(...statuses),
      allowFailure: fc.boolean(),
      when: fc.constantFrom('on_success' as const, 'on_failure' as const, 'always' as const, 'manual' as const, 'delayed' as const),
      resourceGroup: fc.constantFrom(null, 'prod'),
      needsEarlier: fc.option(fc.array(fc.nat(9), { maxLength: 3 }), { nil: null }),
    }),
    { minLength: 1, maxLength: 10 },
  )
  .map((rows) => {
    const sorted = rows.toSorted((one, other) => one.stageIndex - other.stageIndex);
    return sorted.map(({ needsEarlier, ...rest }, index) =>
      job({
        ...rest,
        name: `job${index}`,
        needs: needsEarlier === null || index === 0 ? null : needsEarlier.map((number) => need(`job${number % index}`)),
      }),
    );
  });

describe('the states of jobs', () => {
  test('an ended job moves nowhere, and every other state has a way to an end', () => {
    const reach = (from: JobStatus, seen = new Set<JobStatus>()): Set<JobStatus> => {
      for (const to of moves[from]) if (!seen.has(to)) reach(to, seen.add(to));
      return seen;
    };
    for (const status of statuses) expect([...reach(status)].some(hasEnded)).toBe(!hasEnded(status));
    expect(fromStates('running')).toEqual(['pending', 'manual']);
    expect(fromStates('success')).toEqual(['running']);
  });

  test('only legal moves, and waiting jobs come to rest: nothing is created again and again', () => {
    fc.assert(
      fc.property(anyJobs, (jobs) => {
        let now = jobs;
        for (let round = 0; round <= jobs.length; round += 1) {
          const due = nextMoves(now);
          for (const [moved, to] of due) expect(moves[moved.status]).toContain(to);
          if (due.size === 0) return;
          now = now.map((one) => ({ ...one, status: due.get(one) ?? one.status }));
        }
        expect(nextMoves(now).size).toBe(0);
      }),
    );
  });

  test('no job is let run before all that it waits for has ended', () => {
    fc.assert(
      fc.property(anyJobs, (jobs) => {
        for (const [moved, to] of nextMoves(jobs)) {
          if (!['pending', 'waiting_for_resource', 'scheduled'].includes(to)) continue;
          const before = jobs.filter((other) =>
            moved.needs === null ? other.stageIndex < moved.stageIndex : moved.needs.some((one) => one.job === other.name),
          );
          expect(before.every((other) => hasEnded(other.status) || (other.status === 'manual' && other.allowFailure))).toBe(true);
        }
      }),
    );
  });

  test('what shares a resource waits for it, what is delayed for its time, wherever else it would go', () => {
    expect([...nextMoves([job({ resourceGroup: 'prod' })]).values()]).toEqual(['waiting_for_resource']);
    expect([...nextMoves([job({ resourceGroup: 'prod', when: 'always' })]).values()]).toEqual(['waiting_for_resource']);
    expect([...nextMoves([job({ resourceGroup: 'prod', when: 'manual' })]).values()]).toEqual(['manual']);
    expect([...nextMoves([job({ resourceGroup: 'prod', when: 'delayed' })]).values()]).toEqual(['scheduled']);
    expect(fromStates('waiting_for_resource')).toEqual(['created', 'scheduled', 'manual']);
  });

  test('a failure stops later stages, but not one that is allowed to fail', () => {
    const failed = job({ name: 'a', status: 'failed' });
    const later = job({ name: 'b', stageIndex: 1 });
    const onFailure = job({ name: 'c', stageIndex: 1, when: 'on_failure' });
    const always = job({ name: 'd', stageIndex: 1, when: 'always' });
    expect([...nextMoves([failed, later, onFailure, always]).values()]).toEqual(['skipped', 'pending', 'pending']);
    expect([...nextMoves([{ ...failed, allowFailure: true }, later, onFailure]).values()]).toEqual(['pending', 'skipped']);
  });

  test('needs run ahead of their stage, and a skipped need skips', () => {
    const done = job({ name: 'a', status: 'success' });
    const slow = job({ name: 'b', status: 'running' });
    expect(nextMoves([done, slow, job({ name: 'c', stageIndex: 1, needs: [need('a')] })]).size).toBe(1);
    expect(nextMoves([done, slow, job({ name: 'c', stageIndex: 1 })]).size).toBe(0);
    const skipped = job({ name: 's', status: 'skipped' });
    expect([...nextMoves([skipped, job({ name: 'c', stageIndex: 1, needs: [need('s')] })]).values()]).toEqual(['skipped']);
  });

  test("a pipeline's status is GitLab's", () => {
    const of = (...jobs: Partial<JobRecord>[]) => pipelineStatus(jobs.map((change) => job(change)));
    expect(of({ status: 'success' }, { status: 'failed', allowFailure: true })).toBe('success');
    expect(of({ status: 'success' }, { status: 'failed' })).toBe('failed');
    expect(of({ status: 'success' }, { status: 'manual', allowFailure: true })).toBe('success');
    expect(of({ status: 'success' }, { status: 'manual' })).toBe('manual');
    expect(of({ status: 'failed' }, { status: 'canceled' })).toBe('failed');
    expect(of({ status: 'success' }, { status: 'canceled' })).toBe('canceled');
    expect(of({ status: 'skipped' })).toBe('skipped');
    expect(of({ status: 'success', startedAt: millis(1) }, { status: 'pending' })).toBe('running');
    expect(of({ status: 'pending' })).toBe('pending');
    expect(of({ status: 'canceling' }, { status: 'running' })).toBe('canceling');
    expect(of({ status: 'waiting_for_resource' }, { status: 'created' })).toBe('waiting_for_resource');
    expect(of({ status: 'scheduled' }, { status: 'created' }, { status: 'success' })).toBe('scheduled');
    expect(of({ status: 'scheduled' }, { status: 'manual' })).toBe('manual');
  });

  test('a pipeline is over exactly when nothing in it can move by itself', () => {
    fc.assert(
      fc.property(anyJobs, (jobs) => {
        const over = ['success', 'failed', 'canceled', 'skipped'].includes(pipelineStatus(jobs));
        const busy = jobs.some((one) => ['pending', 'running', 'canceling', 'waiting_for_resource', 'scheduled'].includes(one.status));
        expect(over && busy).toBe(false);
      }),
    );
  });
});
