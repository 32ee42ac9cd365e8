import { type Condition, isFalse, isTrue } from './row.ts';

/** Which program runs the jobs: they keep jobs apart differently where the file says nothing. */
export type ServedBy = 'jobpass' | 'gitlab-runner';

/** Something that has to stand in the file, because what is done without it shares. */
export interface Need {
  /** Below the entry: `['docker', 'disable_cache']`. */
  readonly path: readonly [string, string];
  /** Missing: with either. */
  readonly servedBy?: ServedBy;
  readonly must: Condition;
  readonly reason: string;
  readonly remedy: string;
}

export interface ExecutorRule {
  /** What stands between two jobs; null = nothing. A `machine` is the job's alone, so what reaches it is nobody else's. */
  readonly boundary: 'container' | 'pod' | 'machine' | null;
  readonly reason: string;
  readonly remedy: string;
  /** Tables that the entry must have. */
  readonly sections: readonly string[];
  readonly needs: readonly Need[];
}

const shared = (reason: string): ExecutorRule => ({
  boundary: null,
  reason,
  remedy: 'Use the docker executor, or one with a fresh machine for each job.',
  sections: [],
  needs: [],
});
const apart = (boundary: ExecutorRule['boundary'], reason: string, sections: readonly string[], needs: readonly Need[]): ExecutorRule => ({
  boundary,
  reason,
  remedy: '',
  sections,
  needs,
});

const one: Condition = { words: '`1`', holds: (value) => value === 1 };
const given: Condition = { words: 'set', holds: (value) => typeof value === 'string' && value !== '' };
const always: Condition = {
  words: '`always`',
  holds: (value) => value === 'always' || (Array.isArray(value) && value.length > 0 && value.every((policy) => policy === 'always')),
};

const stockDocker: readonly Need[] = [
  {
    path: ['feature_flags', 'FF_NETWORK_PER_BUILD'],
    servedBy: 'gitlab-runner',
    must: isTrue,
    reason: 'jobs share the bridge network, on which one can act as another (A29)',
    remedy: 'Set it to true.',
  },
  {
    path: ['docker', 'disable_cache'],
    servedBy: 'gitlab-runner',
    must: isTrue,
    reason: 'the checkout and the cache of one job are handed to the next, whoever started it (R15, A53)',
    remedy: 'Set it to true.',
  },
];
const hyperv: Need = {
  path: ['docker', 'isolation'],
  must: { words: '`hyperv`', holds: (value) => value === 'hyperv' },
  reason: 'process isolation shares the kernel',
  remedy: 'Set it to "hyperv".',
};
const freshInstance: readonly Need[] = [
  {
    path: ['autoscaler', 'max_use_count'],
    must: one,
    reason: 'an instance is used again for another job',
    remedy: 'Set it to 1.',
  },
  {
    path: ['autoscaler', 'plugin'],
    must: given,
    reason: 'nothing says where the instances come from',
    remedy: 'Name a plugin.',
  },
];
const freshMachine: readonly Need[] = [
  { path: ['machine', 'MaxBuilds'], must: one, reason: 'a machine is used again for another job', remedy: 'Set it to 1.' },
  { path: ['machine', 'MachineDriver'], must: given, reason: 'nothing says where the machines come from', remedy: 'Name a driver.' },
];
const freshSnapshot = (section: string): Need => ({
  path: [section, 'disable_snapshots'],
  must: isTrue,
  reason: 'a machine is used again for another job',
  remedy: 'Set it to true.',
});
const pod: readonly Need[] = [
  {
    path: ['kubernetes', 'pull_policy'],
    must: always,
    reason: 'a local image is used without asking the registry who may (A34)',
    remedy: 'Set it to "always".',
  },
  {
    path: ['kubernetes', 'automount_service_account_token'],
    must: isFalse,
    reason: 'a job gets a token of the cluster, which may show it other pods',
    remedy: 'Set it to false.',
  },
  {
    path: ['kubernetes', 'allow_privilege_escalation'],
    must: isFalse,
    reason: 'a process may gain more rights than its parent',
    remedy: 'Set it to false.',
  },
];

/** gitlab-runner's executors, also those it no longer has. One that is not here is unsafe. */
export const executors: Readonly<Record<string, ExecutorRule>> = {
  shell: shared('nothing keeps jobs of this machine apart'),
  ssh: shared('the target host is shared by all jobs'),
  custom: shared('what its programs do cannot be judged, and they run beside the runner'),
  docker: apart('container', 'each job has a container of its own', ['docker'], stockDocker),
  'docker-windows': apart('container', 'each job has a container of its own', ['docker'], [hyperv, ...stockDocker]),
  'docker+machine': apart('machine', 'each job has a machine of its own', ['docker', 'machine'], freshMachine),
  'docker-autoscaler': apart('machine', 'each job has an instance of its own', ['docker', 'autoscaler'], freshInstance),
  instance: apart('machine', 'each job has an instance of its own', ['autoscaler'], freshInstance),
  kubernetes: apart('pod', 'each job has a pod of its own', ['kubernetes'], pod),
  virtualbox: apart('machine', 'each job has a machine of its own', ['virtualbox'], [freshSnapshot('virtualbox')]),
  parallels: apart('machine', 'each job has a machine of its own', ['parallels'], [freshSnapshot('parallels')]),
  'docker-ssh': shared('gitlab-runner has it no more'),
  'docker-ssh+machine': shared('gitlab-runner has it no more'),
};
