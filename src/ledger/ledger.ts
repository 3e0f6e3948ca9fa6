import { join } from "node:path"
import type { Sql } from "../../db/connection.ts"
import {
  loadPendingInstructions,
  type PendingInstruction,
} from "../../db/queries/load-pending-instructions.ts"
import { readKeySpending } from "../../db/queries/read-key-spending.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { type AccountId, parseHoldId, partitionOf } from "../ids.ts"
import { SETTLE_COMMAND_TIMEOUT_MS } from "../limits.ts"
import { parseFen } from "../money.ts"
import { type Batcher, createBatcher } from "./batcher.ts"
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
import { createOpenings } from "./opening.ts"
import { isInstructionKind } from "./records.ts"
import { connected, connectRedis } from "./redis.ts"
import { createRevokeFile, settleLeftovers } from "./revokes.ts"
import { raiseServices } from "./services.ts"

export type { Health, ReadOutcome } from "./health.ts"
export type { AccountState } from "./records.ts"

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
  /** Whether a charge would be decided now. */
  health(): Promise<Health>
  /** How far Postgres is behind, per partition; null where Redis does not say. */
  readLags(): Promise<(Lag | null)[]>
  stop(): Promise<void>
}

export type LedgerDeps = {
  redisUrl: string
  sql: Sql
  /** Where revokes are written down: see `revokes.ts`. */
  dataDir: string
  onBatch(items: number): void
  log(message: string): void
}

/**
 * Connects a gateway process to the ledger. Rejects where Redis or Postgres cannot be reached, or
 * the ledger was never opened: a process starts only beside stores that are there.
 */
export async function createLedger(deps: LedgerDeps): Promise<Ledger> {
  const { redisUrl, sql, dataDir, onBatch, log } = deps
  const openings = createOpenings(() => readOpening(sql))
  const { partitions } = await openings.reload()
  const connect = (name: string) =>
    connectRedis(redisUrl, { name, commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS })
  // Charges have a connection of their own: nothing else may delay a batch or its retry.
  const [hot, cold] = [connect("fengate gateway"), connect("fengate gateway reads")]
  await Promise.all([connected(hot, 5_000), connected(cold, 5_000)])

  const revokeDir = join(dataDir, "revokes")
  let isStopping = false
  const settling = settleLeftovers(revokeDir, {
    redis: cold,
    openings,
    log,
    isStopping: () => isStopping,
  })
  const batchers = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const revokeFile = await createRevokeFile(revokeDir, partition)
      return createBatcher({ redis: hot, openings, partition, revokeFile, onBatch, log })
    }),
  )
  const { applyPending } = createInstructions({
    redis: cold,
    openings,
    loadPending: async (page) => (await loadPendingInstructions(sql, page)).map(readInstruction),
    log,
  })

  return {
    charge: (item) => batcherOf(item.accountId).charge(item),
    hold: (item) => batcherOf(item.accountId).hold(item),
    capture,
    voidHold,
    seedCounter: createCounters({
      redis: cold,
      openings,
      readSpending: (key) => readKeySpending(sql, key),
    }),
    raiseServices: (version) => raiseServices({ redis: cold, openings }, version),
    applyPending: (accountId) => applyPending(accountId),
    readAccount: (accountId) => readAccount(cold, openings, accountId),
    health: () => readHealth(cold, openings, batchers),
    readLags: () =>
      Promise.all(batchers.map((_, partition) => readLag(cold, partition).catch(() => null))),
    stop,
  }

  function batcherOf(accountId: AccountId): Batcher {
    const batcher = batchers[partitionOf(accountId, partitions)]
    if (batcher === undefined) throw new Error("broken invariant: an account without a partition")
    return batcher
  }

  function capture(item: CaptureItem): Promise<CaptureOutcome> {
    const hold = parseHoldId(item.holdId)
    if (hold === null) return Promise.resolve({ status: "hold_not_found" })
    if (isLost(hold)) return Promise.resolve({ status: "hold_lost" })
    return batcherOf(hold.accountId).capture(hold, item)
  }

  function voidHold({ holdId, idempotency }: VoidItem): Promise<VoidOutcome> {
    const hold = parseHoldId(holdId)
    if (hold === null) return Promise.resolve({ status: "hold_not_found" })
    if (isLost(hold)) return Promise.resolve({ status: "hold_lost" })
    return batcherOf(hold.accountId).voidHold(hold, { isExpiry: false, idempotency })
  }

  /** A hold does not outlive its generation. */
  function isLost({
    accountId,
    generation,
  }: {
    accountId: AccountId
    generation: number
  }): boolean {
    const opened = openings.current()
    if (opened === null) return false
    return generation < (opened.generations[partitionOf(accountId, partitions)] ?? 0)
  }

  async function stop(): Promise<void> {
    isStopping = true
    await settling
    await Promise.all(batchers.map((batcher) => batcher.stop()))
    hot.disconnect()
    cold.disconnect()
  }
}

export function readInstruction(row: PendingInstruction): Instruction {
  const { kind } = row
  if (!isInstructionKind(kind)) throw new Error(`broken invariant: an instruction of kind ${kind}`)
  return { ...row, kind, amountFen: parseFen(row.amountFen) }
}
