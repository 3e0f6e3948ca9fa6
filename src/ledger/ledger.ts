import { join } from "node:path"
import type { Sql } from "../../db/connection.ts"
import {
  loadPendingInstructions,
  type PendingInstruction,
} from "../../db/queries/load-pending-instructions.ts"
import { readKeySpending } from "../../db/queries/read-key-spending.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { type AccountId, type HoldId, parseHoldId, partitionOf } from "../ids.ts"
import { REDIS_START_MS, SETTLE_COMMAND_TIMEOUT_MS } from "../limits.ts"
import { parseFen } from "../money.ts"
import { type Batcher, type BatcherDeps, createBatcher } from "./batcher.ts"
import { isRecordBehind, type RecordState } from "./behind.ts"
import { connectNodes, type RedisNodes } from "./cluster.ts"
import { createCounters } from "./counters.ts"
import { type Health, type ReadOutcome, readAccount, readHealth } from "./health.ts"
import { type ApplyOutcome, createInstructions, type Instruction } from "./instructions.ts"
import type {
  CaptureItem,
  CaptureOutcome,
  ChargeItem,
  ChargeOutcome,
  HoldItem,
  HoldOutcome,
  KeyLimits,
  VoidItem,
  VoidOutcome,
} from "./items.ts"
import { type Lag, readLag } from "./meta.ts"
import { createOpenings, type Openings } from "./opening.ts"
import { createPast } from "./over.ts"
import { isInstructionKind } from "./records.ts"
import { createRevokeFile, settleLeftovers } from "./revokes.ts"
import type { Wait } from "./run-script.ts"
import { raiseServices } from "./services.ts"
import { watchRedis } from "./watch.ts"

export type { Health, ReadOutcome } from "./health.ts"
export type { AccountState } from "./states.ts"

/** The money, as one gateway process sees it. Nothing here throws for what a store does. */
export type Ledger = {
  /** Takes one amount from one balance, or says why not. `unavailable`: nothing is charged. */
  charge(item: ChargeItem): Promise<ChargeOutcome>
  /** Reserves an amount until it is captured, voided, or its time is over. */
  hold(item: HoldItem): Promise<HoldOutcome>
  /** Takes up to what a hold has, and gives back the rest. A hold resolves once. */
  capture(item: CaptureItem): Promise<CaptureOutcome>
  voidHold(item: VoidItem): Promise<VoidOutcome>
  /** Gives a key's counter what it has spent so far, as the record knows it; once a version. */
  seedCounter(accountId: AccountId, limits: KeyLimits): Promise<"seeded" | "unavailable">
  /** Raises the version of the service keys everywhere; false where a partition did not take it. */
  raiseServices(version: number): Promise<boolean>
  /** Applies the account's pending instructions in order; answers the state afterwards. */
  applyPending(accountId: AccountId): Promise<ApplyOutcome>
  /** The account as Redis has it now. `unknown`: not there (not opened yet, or closed). */
  readAccount(accountId: AccountId): Promise<ReadOutcome>
  /** Whether Postgres was restored, and lacks what it had told Redis. Rejects where it is away. */
  isRecordBehind(): Promise<RecordState>
  /** Whether a charge would be decided now. */
  health(): Promise<Health>
  /** How far Postgres is behind, per partition; null where Redis does not say. */
  readLags(): Promise<(Lag | null)[]>
  /** Whether this process has a slot in the partition; without one it refuses every charge. */
  hasSlot(partition: number): boolean
  stop(): Promise<void>
}

export type LedgerDeps = {
  redisUrl: string
  sql: Sql
  /** Where revokes are written down: see `revokes.ts`. */
  dataDir: string
  /** None where it is left out. */
  wait?: Wait
  onBatch(items: number): void
  log(message: string): void
}

/**
 * Connects a gateway process to the ledger. Rejects where Redis or Postgres cannot be reached, or
 * the ledger was never opened: a process starts only beside stores that are there.
 */
export async function createLedger(deps: LedgerDeps): Promise<Ledger> {
  const { redisUrl, sql, dataDir, wait = NO_WAIT, onBatch, log } = deps
  const openings = createOpenings(() => readOpening(sql))
  const { partitions } = await openings.reload()
  const { hot, cold } = await connect(redisUrl)
  const past = createPast({ redis: cold, sql, openings })
  const watch = watchRedis({ redis: cold, openings, log })
  const pressure = { wait, isMemoryShort: watch.isMemoryShort }
  const revokeDir = join(dataDir, "revokes")
  let isStopping = false
  const settling = settleLeftovers(revokeDir, {
    ...{ redis: cold, openings, past, log },
    isStopping: () => isStopping,
  })
  const shared = { redis: hot, openings, past, pressure, onBatch, log }
  const batchers = await createBatchers(partitions, revokeDir, shared)
  watch.follow(batchers)
  const { applyPending } = createInstructions({
    redis: cold,
    openings,
    loadPending: async (page) => (await loadPendingInstructions(sql, page)).map(readInstruction),
    log,
  })

  return {
    charge: (item) => batcherOf(item.accountId).charge(item),
    hold: (item) => batcherOf(item.accountId).hold(item),
    ...createResolutions({ openings, batcherOf }),
    seedCounter: createCounters({
      ...{ redis: cold, openings, readSpending: (key) => readKeySpending(sql, key) },
    }),
    raiseServices: (version) => raiseServices({ redis: cold, openings }, version),
    applyPending,
    readAccount: (accountId) => readAccount(cold, openings, accountId),
    isRecordBehind: () => isRecordBehind({ redis: cold, sql, openings }),
    health: () =>
      readHealth(cold, {
        ...{ openings, batchers, isMemoryShort: watch.isMemoryShort },
        isConnected: (partition) => hot.of(partition).status === "ready",
      }),
    readLags: () =>
      Promise.all(batchers.map((_, partition) => readLag(cold, partition).catch(() => null))),
    hasSlot: (partition) => batchers[partition]?.state() !== "closed",
    stop,
  }

  function batcherOf(accountId: AccountId): Batcher {
    const batcher = batchers[partitionOf(accountId, partitions)]
    if (batcher === undefined) throw new Error("broken invariant: an account without a partition")
    return batcher
  }

  async function stop(): Promise<void> {
    isStopping = true
    await watch.stop()
    await settling
    await Promise.all(batchers.map((batcher) => batcher.stop()))
    hot.disconnect()
    cold.disconnect()
  }
}

function createBatchers(
  partitions: number,
  revokeDir: string,
  shared: Omit<BatcherDeps, "partition" | "revokeFile">,
): Promise<Batcher[]> {
  return Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const revokeFile = await createRevokeFile(revokeDir, partition)
      return createBatcher({ ...shared, partition, revokeFile })
    }),
  )
}

const NO_WAIT: Wait = { replicas: 0, timeoutMs: 0 }

/** Charges have a connection of their own: nothing else may delay a batch or its retry. */
async function connect(redisUrl: string): Promise<{ hot: RedisNodes; cold: RedisNodes }> {
  const times = { timeoutMs: REDIS_START_MS, commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS }
  const [hot, cold] = await Promise.all([
    connectNodes(redisUrl, { ...times, name: "fengate gateway" }),
    connectNodes(redisUrl, { ...times, name: "fengate gateway reads" }),
  ])
  return { hot, cold }
}

/** A hold does not outlive its generation: of one that is over, nothing is asked any more. */
function createResolutions({
  openings,
  batcherOf,
}: {
  openings: Openings
  batcherOf(accountId: AccountId): Batcher
}): Pick<Ledger, "capture" | "voidHold"> {
  return {
    async capture(item) {
      const hold = find(item.holdId)
      return "status" in hold ? hold : batcherOf(hold.accountId).capture(hold, item)
    },
    async voidHold({ holdId, idempotency }) {
      const hold = find(holdId)
      if ("status" in hold) return hold
      return batcherOf(hold.accountId).voidHold(hold, { isExpiry: false, idempotency })
    },
  }

  function find(holdId: string): HoldId | { status: "hold_not_found" | "hold_lost" } {
    const hold = parseHoldId(holdId)
    if (hold === null) return { status: "hold_not_found" }
    const opened = openings.current()
    if (opened === null) return hold
    const now = opened.generations[partitionOf(hold.accountId, opened.partitions)] ?? 0
    return hold.generation < now ? { status: "hold_lost" } : hold
  }
}

export function readInstruction(row: PendingInstruction): Instruction {
  const { kind } = row
  if (!isInstructionKind(kind)) throw new Error(`broken invariant: an instruction of kind ${kind}`)
  return { ...row, kind, amountFen: parseFen(row.amountFen) }
}
