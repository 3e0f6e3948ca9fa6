import type { Redis } from "ioredis"
import { connectSql } from "../../db/connection.ts"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"
import { within } from "../deadline.ts"
import { connectNodes } from "../ledger/cluster.ts"
import { readMeta } from "../ledger/meta.ts"
import { isCompared } from "../ledger/server.ts"
import type { Meta } from "../ledger/states.ts"
import {
  KEEPER_ATTEMPT_MS,
  KEEPER_INTERVAL_MS,
  REDIS_START_MS,
  SETTLE_COMMAND_TIMEOUT_MS,
} from "../limits.ts"
import { messageOf } from "../ticker.ts"
import { countLosses } from "./losses.ts"
import { hasScripts } from "./nodes.ts"
import { NotCompared, openNodes } from "./open-nodes.ts"
import { LedgerRefused, requireDurable, requireLedger } from "./requirements.ts"
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
  const redis = await connectNodes(settings.redisUrl, {
    ...{ name: "fengate keeper", timeoutMs: REDIS_START_MS },
    commandTimeoutMs: SETTLE_COMMAND_TIMEOUT_MS,
  })
  const sql = connectSql(settings.databaseUrl, { max: 2, applicationName: "fengate keeper" })
  const stores = { redis, sql }
  let isStopped = false
  let complaint = ""
  try {
    // Also where another process has opened the ledger: a start with wrong settings is refused.
    await requireAll(redis.all(), log)
    await requireLedger(sql, partitions)
    await openLedger(stores, settings).catch((error: unknown) => {
      const isOpen = error instanceof NotCompared || redis.all().length > 1
      if (error instanceof LedgerRefused || !isOpen) throw error
      complain(error)
    })
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
        complain(error)
      }
    }
  }

  /** Once per cause: an outage lasts longer than one look. */
  function complain(error: unknown): void {
    const message = messageOf(error)
    const what =
      error instanceof NotCompared ? "Postgres cannot be compared" : "the ledger cannot be opened"
    if (message !== complaint) log(`${what}: ${message}`)
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

/** Of a Cluster a master may be away: it is looked at when it is back, before it is opened. */
async function requireAll(nodes: readonly Redis[], log: Log): Promise<void> {
  for (const node of nodes) {
    await requireDurable(node).catch((error: unknown) => {
      if (error instanceof LedgerRefused || nodes.length === 1) throw error
      log(`Redis ${node.options.host}:${node.options.port} cannot be asked: ${messageOf(error)}`)
    })
  }
}

/**
 * Answers true where it had to open, false where the ledger was open already. A node that cannot be asked
 * keeps no other closed: what it says is thrown at the end.
 */
async function openLedger(stores: Stores, settings: KeeperSettings): Promise<boolean> {
  const { nodes, failure } = await findWork(stores, settings)
  if (nodes.size === 0 && failure === null) return false
  if (nodes.size === 0) throw failure
  return alone(settings.databaseUrl, async () => {
    const work = await findWork(stores, settings)
    if (work.nodes.size > 0) {
      await requireLedger(stores.sql, settings.partitions)
      await openNodes(stores, work, settings.log)
    }
    if (work.failure !== null) throw work.failure
    return work.nodes.size > 0
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

/**
 * Nodes that must be opened, or opened anew; `distrusted`: partitions that must not go on as they are, and
 * why; `failure`: why a node cannot be asked.
 */
type Work = {
  nodes: ReadonlySet<Redis>
  distrusted: ReadonlyMap<number, string>
  failure: unknown
}

/** Scripts outlive FLUSHALL: they refuse then, and it is for the keeper to find out why. */
async function findWork(
  stores: Stores,
  { partitions, log }: Pick<KeeperSettings, "partitions" | "log">,
): Promise<Work> {
  const { redis, sql } = stores
  const all = Array.from({ length: partitions }, (_, partition) => partition)
  // Before the watermarks: a flush in between only raises these.
  const before = await Promise.allSettled(
    all.map((partition) => within(readMeta(redis, partition), KEEPER_ATTEMPT)),
  )
  const watermarks = await within(readWatermarks(sql), KEEPER_ATTEMPT).catch(() => [])
  if (watermarks.length === 0) {
    return { nodes: new Set(all.map(redis.of)), distrusted: new Map(), failure: null }
  }
  const distrusted = await within(countLosses(stores, log), KEEPER_ATTEMPT)
  const nodes = new Set<Redis>()
  let failure: unknown = null
  await Promise.all(
    watermarks.map(async (watermark) => {
      const { partition } = watermark
      const node = redis.of(partition)
      const meta = before[partition]
      try {
        if (meta?.status === "rejected") throw meta.reason
        const look = () => within(needsWork(stores, watermark, meta?.value ?? null), KEEPER_ATTEMPT)
        if (distrusted.has(partition) || (await look())) nodes.add(node)
      } catch (error) {
        failure = error
      }
    }),
  )
  return { nodes, distrusted, failure }
}

async function needsWork(
  stores: Stores,
  watermark: Watermark,
  meta: Meta | null,
): Promise<boolean> {
  const { partition, opening, isOpen, isRefilling } = watermark
  if (!isOpen || isRefilling || meta?.generation !== watermark.generation) return true
  if (meta.entryFlushed > watermark.entryNumber) return true
  if (!(await isCompared(stores.redis, watermark))) return true
  if (meta.entryNumber < watermark.entryNumber && (await isBehind(stores, watermark))) return true
  return !(await hasScripts(stores.redis.of(partition), opening))
}

/** A former master that is promoted again has scripts that run, where nobody has opened another since. */
async function isBehind({ redis }: Stores, watermark: Watermark): Promise<boolean> {
  const meta = await readMeta(redis, watermark.partition)
  return meta === null || meta.entryNumber < watermark.entryNumber
}
