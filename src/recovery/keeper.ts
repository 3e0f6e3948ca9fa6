import { connectSql } from "../../db/connection.ts"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"
import { within } from "../deadline.ts"
import { readMeta } from "../ledger/meta.ts"
import { connected, connectRedis } from "../ledger/redis.ts"
import type { Meta } from "../ledger/states.ts"
import { KEEPER_ATTEMPT_MS, KEEPER_INTERVAL_MS, SETTLE_COMMAND_TIMEOUT_MS } from "../limits.ts"
import { messageOf } from "../ticker.ts"
import { examine, judge } from "./diagnose.ts"
import { countLosses } from "./losses.ts"
import { hasScripts, noteOpen, openNode } from "./nodes.ts"
import { readPlace } from "./places.ts"
import { type Claimed, fencePartition, recoverPartition } from "./recover.ts"
import { refill } from "./refill.ts"
import { requireStores } from "./requirements.ts"
import type { Log, Stores } from "./stores.ts"

/**
 * Opens the ledger and keeps it open. It is the only place that loads scripts into Redis, and only
 * after it has found that every partition of the node holds what Postgres says it must, or has
 * fenced it off; until then each script answers NOSCRIPT, and no call can be charged. What Redis has
 * lost is built anew from Postgres.
 */

const OPENING_LOCK = 7_364_102
const KEEPER_ATTEMPT = { timeoutMs: KEEPER_ATTEMPT_MS, what: "opening the ledger" }

export type KeeperSettings = {
  redisUrl: string
  databaseUrl: string
  partitions: number
  log: Log
}

/**
 * Resolves when the ledger is open. Rejects with `LedgerRefused` where it may not be opened at the
 * first try. From then on it looks again every KEEPER_INTERVAL_MS.
 */
export async function startKeeper(settings: KeeperSettings): Promise<{ stop(): Promise<void> }> {
  const { log, partitions } = settings
  const redis = connectRedis(settings.redisUrl, {
    name: "fengate keeper",
    commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS,
  })
  const sql = connectSql(settings.databaseUrl, { max: 2, applicationName: "fengate keeper" })
  const stores = { redis, sql }
  let isStopped = false
  let complaint = ""
  try {
    await connected(redis, 10_000)
    // Also where another process has opened the ledger: a start with wrong settings is refused.
    await requireStores(stores, partitions)
    await openLedger(stores, settings)
  } catch (error) {
    await release()
    throw error
  }
  log("the ledger is open")
  const watching = watch()
  return { stop }

  async function watch(): Promise<void> {
    while (!isStopped) {
      await Bun.sleep(KEEPER_INTERVAL_MS)
      if (isStopped) return
      try {
        if (await openLedger(stores, settings)) log("the ledger is open again")
        complaint = ""
      } catch (error) {
        complain(messageOf(error))
      }
    }
  }

  /** Once per cause: an outage lasts longer than one look. */
  function complain(message: string): void {
    if (message !== complaint) log(`the ledger cannot be opened: ${message}`)
    complaint = message
  }

  async function stop(): Promise<void> {
    isStopped = true
    await watching
    await release()
  }

  async function release(): Promise<void> {
    redis.disconnect()
    await sql.end({ timeout: 1 })
  }
}

/** Answers true where it had to open, false where the ledger was open already. */
async function openLedger(stores: Stores, settings: KeeperSettings): Promise<boolean> {
  const look = () => within(needsWork(stores, settings), KEEPER_ATTEMPT)
  if (!(await look())) return false
  return alone(settings.databaseUrl, async () => {
    if (!(await look())) return false
    await requireStores(stores, settings.partitions)
    await openPartitions(stores, settings.log)
    return true
  })
}

/**
 * One process opens at a time. The lock has a connection of its own, and ends with it: after its
 * server was killed, postgres.js may never settle a query on a connection that it has reserved.
 */
export async function alone<Value>(
  databaseUrl: string,
  work: () => Promise<Value>,
): Promise<Value> {
  const lock = connectSql(databaseUrl, { max: 1, applicationName: "fengate opening" })
  try {
    await lock`select pg_advisory_lock(${OPENING_LOCK})`
    return await work()
  } finally {
    await lock.end({ timeout: 1 })
  }
}

/** Scripts outlive FLUSHALL: they refuse then, and it is for the keeper to find out why. */
async function needsWork(
  stores: Stores,
  { partitions, log }: Pick<KeeperSettings, "partitions" | "log">,
): Promise<boolean> {
  // Before the watermarks: a flush in between only raises these.
  const metas: (Meta | null)[] = []
  for (let partition = 0; partition < partitions; partition++) {
    metas.push(await readMeta(stores.redis, partition))
  }
  const watermarks = await readWatermarks(stores.sql).catch(() => [])
  if (watermarks.length === 0) return true
  for (const watermark of watermarks) {
    const { partition, opening, isOpen, isRefilling } = watermark
    const meta = metas[partition]
    if (!isOpen || isRefilling || meta?.generation !== watermark.generation) return true
    if (meta.entryFlushed > watermark.entryNumber) return true
    if (meta.entryNumber < watermark.entryNumber && (await isBehind(stores, watermark))) return true
    if (!(await hasScripts(stores, opening))) return true
  }
  return (await countLosses(stores, log)).size > 0
}

/** A former master that is promoted again has scripts that run, where nobody has opened another since. */
async function isBehind({ redis }: Stores, watermark: Watermark): Promise<boolean> {
  const meta = await readMeta(redis, watermark.partition)
  return meta === null || meta.entryNumber < watermark.entryNumber
}

type Intact = { partition: number; meta: Meta; watermark: Watermark }
type Behind = { watermark: Watermark; meta: Meta; reason: string }

async function openPartitions(stores: Stores, log: Log): Promise<void> {
  const distrusted = await countLosses(stores, log)
  const intact: Intact[] = []
  const behind: Behind[] = []
  const claimed: Claimed[] = []
  for (const { partition } of await readWatermarks(stores.sql)) {
    const found = await examine(stores, partition)
    const { watermark } = found
    const verdict = judge(found)
    const distrust = distrusted.get(partition)
    if (verdict.status === "postgres_back") {
      behind.push({ watermark, ...verdict })
    } else if (verdict.status === "intact" && distrust === undefined) {
      if (watermark.isRefilling) behind.push({ watermark, meta: verdict.meta, reason: "" })
      else intact.push({ partition, meta: verdict.meta, watermark })
    } else {
      const reason = distrust ?? ("reason" in verdict ? verdict.reason : null)
      const lost = { watermark, claimedInRedis: found.claim, reason }
      claimed.push(await fencePartition(stores, lost))
    }
  }
  // First what is quick: then the node's other partitions wait for nothing.
  for (const each of behind) {
    const meta = await refill(stores, each, log)
    const { partition } = each.watermark
    intact.push({ partition, meta, watermark: await readPlace(stores.sql, partition) })
  }
  const opening = await openNodes(stores, intact)
  for (const claim of claimed) await recoverPartition(stores, claim, { opening, log })
}

/**
 * Only a node that has no scripts is opened: on one that has, its other partitions are being charged. But
 * one that somebody doubts is opened anew, so that all of them tell what they have seen.
 */
async function openNodes(stores: Stores, intact: readonly Intact[]): Promise<number> {
  const known = Math.max(0, ...(await readWatermarks(stores.sql)).map(({ opening }) => opening))
  const isDoubted = intact.some(({ watermark }) => watermark.isOpen && watermark.opening === 0)
  if (isDoubted || !(await hasScripts(stores, known))) return openNode(stores, intact)
  for (const { partition, meta, watermark } of intact) {
    if (watermark.isOpen && watermark.opening === known) continue
    await noteOpen(stores.sql, { partition, meta, opening: known })
  }
  return known
}
