import type { Redis } from "ioredis"
import { connectSql, type Sql } from "../../db/connection.ts"
import { claimGeneration } from "../../db/queries/claim-generation.ts"
import { createLedgerRows } from "../../db/queries/create-ledger.ts"
import { markOpen } from "../../db/queries/mark-open.ts"
import { raiseOpening } from "../../db/queries/raise-opening.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readServicesVersion } from "../../db/queries/read-services-version.ts"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"
import { within } from "../deadline.ts"
import { randomChars } from "../ids.ts"
import { KEEPER_ATTEMPT_MS, KEEPER_INTERVAL_MS, SETTLE_COMMAND_TIMEOUT_MS } from "../limits.ts"
import { messageOf } from "../ticker.ts"
import { metaKey, streamKey } from "./keys.ts"
import { readMeta } from "./meta.ts"
import type { Meta } from "./records.ts"
import { connected, connectRedis } from "./redis.ts"
import { readReply } from "./run-script.ts"
import { OPEN_PARTITION_TEXT, SCRIPT_NAMES, scriptHashes, scriptText } from "./scripts.ts"

/**
 * Opens the ledger: the only place that loads scripts into Redis, and only after it has found that
 * every partition holds what Postgres says it must. Until then each script answers NOSCRIPT, and
 * no call can be charged.
 */

/** The stores are not what they must be. The message is the sentence that the operator reads. */
export class LedgerRefused extends Error {}

const OPENING_LOCK = 7_364_102
const KEEPER_ATTEMPT = { timeoutMs: KEEPER_ATTEMPT_MS, what: "opening the ledger" }

type Stores = { redis: Redis; sql: Sql }

export type KeeperSettings = {
  redisUrl: string
  databaseUrl: string
  partitions: number
  log(message: string): void
}

/**
 * Opens the ledger and keeps it open: when Redis restarts and has lost nothing, it is opened again
 * by itself. Rejects with `LedgerRefused` where it may not be opened at the first try.
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
        if (await within(openLedger(stores, settings), KEEPER_ATTEMPT))
          log("the ledger is open again")
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
  if (await isOpen(stores)) return false
  return alone(settings.databaseUrl, async () => {
    if (await isOpen(stores)) return false
    await requireStores(stores, settings.partitions)
    for (const watermark of await readWatermarks(stores.sql)) {
      await openPartition(stores, { watermark, partitions: settings.partitions })
    }
    await loadScripts(stores)
    return true
  })
}

/**
 * One process opens at a time. The lock has a connection of its own, and ends with it: after its
 * server was killed, postgres.js may never settle a query on a connection that it has reserved.
 */
async function alone<Value>(databaseUrl: string, work: () => Promise<Value>): Promise<Value> {
  const lock = connectSql(databaseUrl, { max: 1, applicationName: "fengate opening" })
  try {
    await lock`select pg_advisory_lock(${OPENING_LOCK})`
    return await work()
  } finally {
    await lock.end({ timeout: 1 })
  }
}

/** Scripts outlive FLUSHALL: they refuse then, and it is for the keeper to find out why. */
async function isOpen({ redis, sql }: Stores): Promise<boolean> {
  const opening = await readOpening(sql).catch(() => null)
  if (opening === null || opening.opening === 0) return false
  const hashes = Object.values(scriptHashes(opening.opening))
  const loaded = await redis.call("SCRIPT", "EXISTS", ...hashes)
  if (!Array.isArray(loaded) || !loaded.every((flag) => Number(flag) === 1)) return false
  for (const [partition, generation] of opening.generations.entries()) {
    if ((await readMeta(redis, partition))?.generation !== generation) return false
  }
  return true
}

async function requireStores({ redis, sql }: Stores, partitions: number): Promise<void> {
  await requireDurable(redis)
  await requirePartitions(sql, partitions)
}

/** A Redis that may evict, or that forgets at a restart, cannot hold money (DESIGN section 7). */
async function requireDurable(redis: Redis): Promise<void> {
  const info = await redis.info()
  const value = (field: string) => new RegExp(`^${field}:(.*?)\r?$`, "m").exec(info)?.[1] ?? ""
  if (value("maxmemory_policy") !== "noeviction") {
    throw new LedgerRefused(
      `This Redis may evict balances (maxmemory-policy ${value("maxmemory_policy")}): set maxmemory-policy noeviction.`,
    )
  }
  if (value("aof_enabled") !== "1") {
    throw new LedgerRefused(
      "This Redis would forget balances at a restart: set appendonly yes, and appendfsync always.",
    )
  }
}

async function requirePartitions(sql: Sql, partitions: number): Promise<void> {
  const inForce = await createLedgerRows(sql, partitions)
  if (inForce !== partitions) {
    throw new LedgerRefused(
      `PARTITIONS is ${partitions}, but this ledger was made with ${inForce}: set PARTITIONS=${inForce}.`,
    )
  }
}

async function openPartition(
  stores: Stores,
  { watermark, partitions }: { watermark: Watermark; partitions: number },
): Promise<void> {
  const meta = await readMeta(stores.redis, watermark.partition)
  if (meta?.generation === watermark.generation) {
    await requireStream(stores.redis, { watermark, meta })
  } else if (watermark.isOpen || meta !== null) {
    throw new LedgerRefused(explainLoss(watermark, meta))
  } else {
    await beginGeneration(stores, { watermark, partitions })
    return
  }
  if (!watermark.isOpen) await markOpen(stores.sql, watermark)
}

/** On stores that hold nothing yet: claim, build, and only then set meta. */
async function beginGeneration(
  { redis, sql }: Stores,
  { watermark, partitions }: { watermark: Watermark; partitions: number },
): Promise<void> {
  const { partition, generation: from, records } = watermark
  const [generation, genesis] = [from + 1, randomChars(8)]
  if (!(await claimGeneration(sql, { partition, from, genesis }))) {
    throw new LedgerRefused(`Partition ${partition} is being opened by another process.`)
  }
  const stream = streamKey(partition, generation)
  await redis.xadd(stream, `${generation}-0`, "id", genesis)
  const reply = readReply(
    await redis.callBuffer(
      "EVAL",
      OPEN_PARTITION_TEXT,
      2,
      metaKey(partition),
      stream,
      generation,
      partitions,
      records,
      genesis,
      0,
      await readServicesVersion(sql),
    ),
  )
  if (reply.status !== "opened") {
    throw new LedgerRefused(`Partition ${partition} could not be opened: ${reply.status}.`)
  }
  await markOpen(sql, { partition, generation })
}

/** The stream must reach the watermark, and the entry there must be the one that was committed. */
async function requireStream(
  redis: Redis,
  { watermark, meta }: { watermark: Watermark; meta: Meta },
): Promise<void> {
  const { partition, generation, entryNumber, entryId } = watermark
  const at = `${generation}-${entryNumber}`
  const [entry] = await redis.xrange(streamKey(partition, generation), at, at)
  const idOfEntry = entry?.[1][entry[1].indexOf("id") + 1]
  if (meta.entryNumber < entryNumber || idOfEntry !== entryId) {
    throw new LedgerRefused(explainLoss(watermark, meta))
  }
}

function explainLoss(watermark: Watermark, meta: Meta | null): string {
  const { partition, generation, entryNumber } = watermark
  const has = meta === null ? "nothing" : `generation ${meta.generation}, entry ${meta.entryNumber}`
  return `Redis and Postgres do not hold the same ledger: of partition ${partition} Postgres has generation ${generation}, entry ${entryNumber}, and Redis has ${has}. Nothing is charged until the one that went back is restored.`
}

async function loadScripts({ redis, sql }: Stores): Promise<void> {
  const opening = await raiseOpening(sql)
  for (const name of SCRIPT_NAMES) await redis.script("LOAD", scriptText(name, opening))
}
