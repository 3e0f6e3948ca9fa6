import { connectSql, type Sql } from "../../db/connection.ts"
import { doubtOpening } from "../../db/queries/doubt-opening.ts"
import { ensureMonth } from "../../db/queries/ensure-month.ts"
import { flushBatch } from "../../db/queries/flush-batch.ts"
import { loadChainKeys } from "../../db/queries/load-chain-keys.ts"
import { loadPendingInstructions } from "../../db/queries/load-pending-instructions.ts"
import { noteStop } from "../../db/queries/note-stop.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readStop } from "../../db/queries/read-stop.ts"
import { readWatermarks } from "../../db/queries/read-watermarks.ts"
import { within } from "../deadline.ts"
import { connectNodes } from "../ledger/cluster.ts"
import { createInstructions } from "../ledger/instructions.ts"
import { readInstruction } from "../ledger/ledger.ts"
import { createOpenings, ofPartition } from "../ledger/opening.ts"
import { raiseServices } from "../ledger/services.ts"
import { sweepServices } from "../ledger/sweep-services.ts"
import {
  ANCHOR_DEADLINE_MS,
  ANCHOR_INTERVAL_MS,
  EXPIRY_INTERVAL_MS,
  FLUSH_COMMAND_TIMEOUT_MS,
  FORGET_INTERVAL_MS,
  REDIS_START_MS,
  SETTLE_COMMAND_TIMEOUT_MS,
  SWEEP_INTERVAL_MS,
} from "../limits.ts"
import { startProofs } from "../reconcile/proofs.ts"
import { messageOf, startTicker } from "../ticker.ts"
import { anchorsDirOf, createAnchors } from "./anchors.ts"
import { createExpiry } from "./expire.ts"
import { type FlushRecord, startFlusher } from "./flusher.ts"
import { sweep } from "./sweep.ts"
import { sweepResults } from "./sweep-results.ts"

const ANCHOR = { timeoutMs: ANCHOR_DEADLINE_MS, what: "Postgres" }

/**
 * The background process: flushes every partition, sweeps instructions, proves the books. It writes the
 * anchors of the hash chains under `dataDir`.
 */
export async function startFlusherProcess(
  stores: { redisUrl: string; databaseUrl: string; dataDir: string },
  log: (message: string) => void,
): Promise<{ stop(): Promise<void> }> {
  const redis = await connectNodes(stores.redisUrl, {
    ...{ name: "fengate flusher", timeoutMs: REDIS_START_MS },
    commandTimeoutMs: FLUSH_COMMAND_TIMEOUT_MS,
  })
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
  const redisForHolds = await connectNodes(stores.redisUrl, {
    ...{ name: "fengate expiry", timeoutMs: REDIS_START_MS },
    commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS,
  })
  const expiry = createExpiry({ redis: redisForHolds, sql, openings, partitions, log })
  const anchors = createAnchors({
    dir: anchorsDirOf(stores.dataDir),
    readEnds: () => readWatermarks(sql),
  })
  const workers = [
    ...Array.from({ length: partitions }, (_, partition) =>
      startFlusher({ redis, record: flushRecord(sql), openings, partition, log }),
    ),
    ...startSweeps(
      {
        "the sweep": [SWEEP_INTERVAL_MS, () => sweep(sql, instructions.applyPending)],
        "the sweep of service keys": [
          SWEEP_INTERVAL_MS,
          () => sweepServices(sql, (version) => raiseServices({ redis, openings }, version)),
        ],
        expiry: [EXPIRY_INTERVAL_MS, expiry.sweep],
        "the sweep of results": [FORGET_INTERVAL_MS, () => sweepResults(sql, { partitions })],
        "the writing of anchors": [ANCHOR_INTERVAL_MS, anchors.append],
      },
      log,
    ),
    startProofs({ ...{ redis, sql, partitions, log }, databaseUrl: stores.databaseUrl }),
  ]
  return {
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()))
      await expiry.stop()
      await within(anchors.append(), ANCHOR).catch((error: unknown) =>
        log(`the last anchors were not written: ${messageOf(error)}`),
      )
      redis.disconnect()
      redisForHolds.disconnect()
      // Nothing is in flight. postgres.js waits in vain for a connection that died under a query.
      await sql.end({ timeout: 1 })
    },
  }
}

type Sweeps = Record<string, [intervalMs: number, work: () => Promise<unknown>]>

function startSweeps(sweeps: Sweeps, log: (message: string) => void) {
  return Object.entries(sweeps).map(([name, [intervalMs, work]]) =>
    startTicker({
      intervalMs,
      work: async () => void (await work()),
      onError: (error) => log(`${name} pauses: ${messageOf(error)}`),
    }),
  )
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
    async doubt(partition) {
      const { openings } = await readOpening(sql)
      await doubtOpening(sql, { partition, opening: ofPartition(openings, partition) })
    },
    noteStop: (stop) => noteStop(sql, stop),
    readStop: (partition) => readStop(sql, partition),
  }
}
