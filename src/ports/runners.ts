import type { Page, Paged } from '../base/page.ts';
import type { EpochMillis, JobId, ManagerId, RunnerId, SecretDigest, UserId } from '../base/ids.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** `none` = no pass at all, `fetch` = the runner's own clones and pulls, `full` = R7. */
export type RunnerTrust = 'none' | 'fetch' | 'full';

/** What an older runner's jobs get of their pass: nothing; the runner's own fetches by the job token; or also the pass in a masked variable. */
export type Assist = 'none' | 'fetch' | 'expose';

export interface NewRunner {
  readonly scope: 'instance' | 'group' | 'project';
  /** Group or project id for these scopes. */
  readonly scopeId: number | null;
  readonly description: string;
  readonly tags: readonly string[];
  readonly runUntagged: boolean;
  readonly protectedOnly: boolean;
  readonly paused: boolean;
  readonly tokenDigest: SecretDigest;
  readonly creatorId: UserId;
  readonly createdAt: EpochMillis;
  /** Serves no other project; for display, as ours never do. */
  readonly locked?: boolean;
  /** No job of it runs longer; null = as long as the job says. */
  readonly maximumTimeoutSeconds?: number | null;
  readonly maintenanceNote?: string;
  readonly tokenExpiresAt?: EpochMillis | null;
  /** Made by its own machine with a registration token: it goes with its last machine, as nobody made it on the server. */
  readonly selfRegistered?: boolean;
}
/** What `jobpass gate` found in the configuration of a runner that cannot report it itself, as an admin pinned it (R7). */
export interface PinnedGate {
  readonly verdict: 'withhold' | 'expose';
  readonly reasons: readonly string[];
  readonly at: EpochMillis;
}
export interface RunnerRecord extends Required<NewRunner> {
  readonly id: RunnerId;
  readonly trust: RunnerTrust;
  /** An admin accepted that this runner shows passes although its gate calls it unsafe. */
  readonly unsafeAccepted: boolean;
  /** Raw Ed25519 public key (base64url) that its requests are signed with; null until a jobpass runner registers. */
  readonly publicKey: string | null;
  /** null = nothing pinned. An unreadable verdict reads `withhold` (R13). */
  readonly pinned: PinnedGate | null;
  readonly contactAt: EpochMillis | null;
  readonly version: string | null;
  /** Who answers for a group's or project's runner (R3); null = its creator. */
  readonly responsibleId: UserId | null;
  /** An admin answers for it: nobody's rights are intersected on its account (R3). */
  readonly vouched: boolean;
  readonly assist: Assist;
}
export type RunnerChange = Partial<
  Pick<
    RunnerRecord,
    | 'description'
    | 'tags'
    | 'runUntagged'
    | 'protectedOnly'
    | 'paused'
    | 'trust'
    | 'unsafeAccepted'
    | 'publicKey'
    | 'pinned'
    | 'contactAt'
    | 'version'
    | 'tokenDigest'
    | 'responsibleId'
    | 'vouched'
    | 'locked'
    | 'maximumTimeoutSeconds'
    | 'maintenanceNote'
    | 'tokenExpiresAt'
    | 'assist'
  >
>;

/** What a runner says of the machine that it is; self-asserted. */
export interface ManagerInfo {
  readonly version: string | null;
  readonly revision: string | null;
  readonly platform: string | null;
  readonly architecture: string | null;
  readonly executor: string | null;
  /** Names of what it can do (`cancel_gracefully` …), sorted. */
  readonly features: readonly string[];
}
/** One row a machine: a runner's token may be used by many (GitLab: runner manager). */
export interface ManagerRecord extends ManagerInfo {
  readonly id: ManagerId;
  readonly runnerId: RunnerId;
  /** Chosen by the machine; `<legacy>` where it sends none. */
  readonly systemId: string;
  readonly createdAt: EpochMillis;
  readonly contactAt: EpochMillis;
}

/** Whoever holds it may register runners of that scope, in the name of who made it. */
export interface NewRegistrationToken {
  readonly scope: NewRunner['scope'];
  readonly scopeId: number | null;
  readonly digest: SecretDigest;
  readonly userId: UserId;
  readonly createdAt: EpochMillis;
}

export interface RunnerStore {
  insert(tx: Tx, runner: NewRunner): Promise<RunnerRecord>;
  byId(tx: MaybeTx, id: RunnerId): Promise<RunnerRecord | undefined>;
  /** As it is until the transaction ends: nobody changes or removes it before, and nobody who has locked it is still at work. */
  held(tx: Tx, id: RunnerId): Promise<RunnerRecord | undefined>;
  /** Waits for whoever holds it, and keeps others from holding it: what they did with it is seen from here on. */
  lock(tx: Tx, id: RunnerId): Promise<RunnerRecord | undefined>;
  list(tx: MaybeTx, page: Page): Promise<Paged<RunnerRecord>>;
  /** Who runs this job, where its `assist` is not `none`. */
  assisting(tx: MaybeTx, job: JobId): Promise<RunnerRecord | undefined>;
  change(tx: Tx, id: RunnerId, change: RunnerChange): Promise<void>;
  /** With its managers. */
  remove(tx: Tx, id: RunnerId): Promise<void>;
  /** A word from a machine: makes its row, or renews it. */
  managerSeen(tx: Tx, runner: RunnerId, systemId: string, info: ManagerInfo, at: EpochMillis): Promise<ManagerRecord>;
  manager(tx: MaybeTx, id: ManagerId): Promise<ManagerRecord | undefined>;
  managers(tx: MaybeTx, runner: RunnerId): Promise<readonly ManagerRecord[]>;
  /** @returns false where there is none */
  removeManager(tx: Tx, runner: RunnerId, systemId: string): Promise<boolean>;
  /** In place of the scope's earlier one. */
  putRegistrationToken(tx: Tx, token: NewRegistrationToken): Promise<void>;
  /** Remembers a nonce of a signed request. @returns false where it was seen before (replay). */
  useNonce(tx: Tx, runner: RunnerId, nonce: string, at: EpochMillis): Promise<boolean>;
}
