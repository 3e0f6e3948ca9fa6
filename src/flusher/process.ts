import { connectSql, type Sql } from "../../db/connection.ts"
import { ensureMonth } from "../../db/queries/ensure-month.ts"
import { flushBatch } from "../../db/queries/flush-batch.ts"
import { loadChainKeys } from "../../db/queries/load-chain-keys.ts"
import { loadPendingInstructions } from "../../db/queries/load-pending-instructions.ts"
import { noteStop } from "../../db/queries/note-stop.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readStop } from "../../db/queries/read-stop.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { createInstructions } from "../ledger/instructions.ts"
import { readInstruction } from "../ledger/ledger.ts"
import { createOpenings } from "../ledger/opening.ts"
import { connected, connectRedis } from "../ledger/redis.ts"
import { raiseServices } from "../ledger/services.ts"
import { sweepServices } from "../ledger/sweep-services.ts"
import {
  EXPIRY_INTERVAL_MS,
  FLUSH_COMMAND_TIMEOUT_MS,
  RECONCILE_INTERVAL_MS,
  SETTLE_COMMAND_TIMEOUT_MS,
  SWEEP_INTERVAL_MS,
} from "../limits.ts"
import { reconcile } from "../reconcile/reconcile.ts"
import { messageOf, startTicker } from "../ticker.ts"
import { createExpiry } from "./expire.ts"
import { type FlushRecord, startFlusher } from "./flusher.ts"
import { sweep } from "./sweep.ts"

/** The background process: flushes every partition, sweeps instructions, proves the books. */
export async function startFlusherProcess(
  stores: { redisUrl: string; databaseUrl: string },
  log: (message: string) => void,
): Promise<{ stop(): Promise<void> }> {
  const redis = connectRedis(stores.redisUrl, {
    name: "fengate flusher",
    commandTimeoutMs: FLUSH_COMMAND_TIMEOUT_MS,
  })
  await connected(redis, 10_000)
  const sql = connectSql(stores.databaseUrl, { max: 4, applicationName: "fengate flusher" })
  const openings = createOpenings(() => readOpening(sql))
  const { partitions } = await openings.reload()
  const instructions = createInstructions({
    redis,
    openings,
    loadPending: async (page) => (await loadPendingInstructions(sql, page)).map(readInstruction),
    log,
  })
  // Expiries have a connection of their own: a flush that reads much must not delay them.
  const redisForHolds = connectRedis(stores.redisUrl, {
    name: "fengate expiry",
    commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS,
  })
  const expiry = createExpiry({ redis: redisForHolds, sql, openings, partitions, log })
  const workers = [
    ...Array.from({ length: partitions }, (_, partition) =>
      startFlusher({ redis, record: flushRecord(sql), openings, partition, log }),
    ),
    startTicker({
      intervalMs: SWEEP_INTERVAL_MS,
      work: () => sweep(sql, instructions.applyPending),
      onError: (error) => log(`the sweep pauses: ${messageOf(error)}`),
    }),
    startTicker({
      intervalMs: SWEEP_INTERVAL_MS,
      work: async () => {
        await sweepServices(sql, (version) => raiseServices({ redis, openings }, version))
      },
      onError: (error) => log(`the sweep of service keys pauses: ${messageOf(error)}`),
    }),
    startTicker({
      intervalMs: EXPIRY_INTERVAL_MS,
      work: expiry.sweep,
      onError: (error) => log(`expiries pause: ${messageOf(error)}`),
    }),
    startTicker({
      intervalMs: RECONCILE_INTERVAL_MS,
      work: () => reconcile(sql, { partitions, log }),
      onError: (error) => log(`reconciliation pauses: ${messageOf(error)}`),
    }),
  ]
  return {
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()))
      await expiry.stop()
      redis.disconnect()
      redisForHolds.disconnect()
      // Nothing is in flight. postgres.js waits in vain for a connection that died under a query.
      await sql.end({ timeout: 1 })
    },
  }
}

/** What flushers ask of Postgres, as the statements of `db/queries`. */
export function flushRecord(sql: Sql): FlushRecord {
  return {
    async readPlace(partition) {
      const watermark = (await readWatermarks(sql)).find((row) => row.partition === partition)
      if (watermark === undefined) throw new Error(`Postgres has no partition ${partition}`)
      return watermark
    },
    loadChainKeys: (accountIds) => loadChainKeys(sql, accountIds),
    flush: (flush) => flushBatch(sql, flush),
    ensureMonth: (atMs) => ensureMonth(sql, atMs),
    noteStop: (stop) => noteStop(sql, stop),
    readStop: (partition) => readStop(sql, partition),
  }
}
