import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"
import {
  loadPendingInstructions,
  type PendingInstruction,
} from "../../db/queries/load-pending-instructions.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { type AccountId, partitionOf } from "../ids.ts"
import { SETTLE_COMMAND_TIMEOUT_MS } from "../limits.ts"
import { parseFen } from "../money.ts"
import type { ChargeItem, ChargeOutcome } from "./batch.ts"
import { type Batcher, createBatcher } from "./batcher.ts"
import { type ApplyOutcome, createInstructions, type Instruction } from "./instructions.ts"
import { accountKey, metaKey } from "./keys.ts"
import { type Lag, readLag, readMeta } from "./meta.ts"
import { createOpenings, type Openings } from "./opening.ts"
import { type AccountState, decodeAccount, decodeMeta, isInstructionKind } from "./records.ts"
import { connected, connectRedis } from "./redis.ts"

export type { AccountState } from "./records.ts"

export type ReadOutcome =
  | { status: "found"; account: AccountState }
  | { status: "unknown" }
  | { status: "unavailable" }

export type Health = { status: "ready" } | { status: "unavailable"; reasons: string[] }

/** The money, as one gateway process sees it. Nothing here throws for what a store does. */
export type Ledger = {
  /** Takes one amount from one balance, or says why not. `unavailable`: nothing is charged. */
  charge(item: ChargeItem): Promise<ChargeOutcome>
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
  onBatch(items: number): void
  log(message: string): void
}

/**
 * Connects a gateway process to the ledger. Rejects where Redis or Postgres cannot be reached, or
 * the ledger was never opened: a process starts only beside stores that are there.
 */
export async function createLedger({ redisUrl, sql, onBatch, log }: LedgerDeps): Promise<Ledger> {
  const openings = createOpenings(() => readOpening(sql))
  const { partitions } = await openings.reload()
  const connect = (name: string) =>
    connectRedis(redisUrl, { name, commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS })
  // Charges have a connection of their own: nothing else may delay a batch or its retry.
  const [hot, cold] = [connect("fengate gateway"), connect("fengate gateway reads")]
  await Promise.all([connected(hot, 5_000), connected(cold, 5_000)])

  const batchers = Array.from({ length: partitions }, (_, partition) =>
    createBatcher({ redis: hot, openings, partition, onBatch, log }),
  )
  const { applyPending } = createInstructions({
    redis: cold,
    openings,
    loadPending: async (page) => (await loadPendingInstructions(sql, page)).map(readInstruction),
    log,
  })

  return {
    charge: (item) => batcherOf(item.accountId).charge(item),
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

  async function stop(): Promise<void> {
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

async function readAccount(
  redis: Redis,
  openings: Openings,
  accountId: AccountId,
): Promise<ReadOutcome> {
  const opened = openings.current()
  if (opened === null) return { status: "unavailable" }
  const partition = partitionOf(accountId, opened.partitions)
  const generation = opened.generations[partition] ?? 0
  const key = accountKey(partition, generation, accountId)
  const [meta, state] = await redis.mgetBuffer(metaKey(partition), key).catch(() => [null, null])
  if (!meta || decodeMeta(meta).generation !== generation) return { status: "unavailable" }
  if (!state) return { status: "unknown" }
  return { status: "found", account: decodeAccount(state) }
}

async function readHealth(
  redis: Redis,
  openings: Openings,
  batchers: readonly Batcher[],
): Promise<Health> {
  const reasons: string[] = []
  for (const [partition, batcher] of batchers.entries()) {
    const state = batcher.state()
    if (state !== "open") reasons.push(`partition ${partition} is ${state}`)
  }
  const opened = openings.current()
  if (opened !== null && reasons.length === 0) {
    const metas = await Promise.all(
      batchers.map((_, partition) => readMeta(redis, partition).catch(() => null)),
    )
    for (const [partition, meta] of metas.entries()) {
      if (meta === null) reasons.push(`partition ${partition} cannot be read from Redis`)
      else if (meta.generation !== opened.generations[partition]) {
        reasons.push(`partition ${partition} is fenced: Redis has generation ${meta.generation}`)
      }
    }
  }
  return reasons.length === 0 ? { status: "ready" } : { status: "unavailable", reasons }
}
