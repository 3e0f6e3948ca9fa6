import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { scriptHashes } from "../../src/ledger/scripts.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { LedgerRefused } from "../../src/recovery/requirements.ts"
import { eventually } from "../support/eventually.ts"
import { failureOf } from "../support/failure.ts"
import { startLedger, withLedger, withStores } from "../support/ledger.ts"
import type { Stores } from "../support/stores.ts"

setDefaultTimeout(30_000)

/** Only the keeper loads scripts, and only into a Redis that holds what Postgres says it must. */

async function refusalOf(stores: Stores, partitions = stores.partitions): Promise<string> {
  const { redisUrl, databaseUrl } = stores
  try {
    const keeper = await startKeeper({ redisUrl, databaseUrl, partitions, log: () => undefined })
    await keeper.stop()
    return "none: it was opened"
  } catch (error) {
    if (!(error instanceof LedgerRefused)) throw error
    return error.message
  }
}

async function onRedis(stores: Stores, ...command: [string, ...string[]]): Promise<unknown> {
  const redis = connectRedis(stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  try {
    return await redis.call(...command)
  } finally {
    redis.disconnect()
  }
}

describe("a Redis that cannot hold money is refused, with a sentence that says what to change", () => {
  test("it may evict", async () => {
    await withStores({}, async (stores) => {
      await onRedis(stores, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
      expect(await refusalOf(stores)).toBe(
        `Redis 127.0.0.1:${stores.redisPort} may evict balances (maxmemory-policy allkeys-lru): set maxmemory-policy noeviction.`,
      )
      await onRedis(stores, "CONFIG", "SET", "maxmemory-policy", "noeviction")
      expect(await refusalOf(stores)).toBe("none: it was opened")
    })
  })

  test("it forgets at a restart", async () => {
    await withStores({}, async (stores) => {
      await onRedis(stores, "CONFIG", "SET", "appendonly", "no")
      expect(await refusalOf(stores)).toBe(
        `Redis 127.0.0.1:${stores.redisPort} would forget balances at a restart: set appendonly yes, and appendfsync always.`,
      )
    })
  })

  test("also where its scripts are loaded already", async () => {
    await withStores({}, async (stores) => {
      expect(await refusalOf(stores)).toBe("none: it was opened")
      await onRedis(stores, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
      expect(await refusalOf(stores)).toContain("may evict balances")
    })
  })
})

test("a start with another number of partitions is refused, and one with the same is not", async () => {
  await withStores({ partitions: 3 }, async (stores) => {
    expect(await refusalOf(stores)).toBe("none: it was opened")
    expect(await refusalOf(stores, 2)).toBe(
      "PARTITIONS is 2, but this ledger was made with 3: set PARTITIONS=3.",
    )
    expect(await refusalOf(stores)).toBe("none: it was opened")
  })
})

test("several processes open a fresh ledger at once: it is opened once", async () => {
  await withStores({ partitions: 2 }, async (stores) => {
    const refusals = await Promise.all(Array.from({ length: 5 }, () => refusalOf(stores)))
    expect(refusals).toEqual(Array(5).fill("none: it was opened"))
    const { openings, generations } = await readOpening(stores.sql)
    expect({ openings, generations }).toEqual({ openings: [1, 1], generations: [1, 1] })
  })
})

describe("a Redis that was restarted and has lost nothing", () => {
  test("answers NOSCRIPT and charges nothing, until the keeper has looked at it; then all is as before", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores)
      const accountId = await t.openAccount({ balanceFen: 10 })
      await t.charge(accountId, 1)
      await t.books()
      await t.stop()
      await stores.restartRedis()
      for (const hash of Object.values(scriptHashes(1))) {
        expect(await failureOf(onRedis(stores, "EVALSHA", hash, "0"))).toContain("NOSCRIPT")
      }
      const again = await startLedger(stores)
      expect((await readOpening(stores.sql)).openings).toEqual([2])
      expect(await again.charge(accountId, 1)).toMatchObject({
        status: "accepted",
        balanceFen: 8,
        seq: 3,
      })
      await again.books()
      await again.stop()
    })
  })

  test("is opened again by itself, and gateways and flusher go on", async () => {
    await withLedger({}, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      await t.charge(accountId, 1)
      for (let restart = 1; restart <= 2; restart++) {
        await t.stores.restartRedis()
        const charged = await eventually(async () => {
          const outcome = await t.charge(accountId, 1)
          return outcome.status === "accepted" && outcome
        })
        expect(charged).toMatchObject({ balanceFen: 9 - restart, seq: 2 + restart })
        expect(t.log.filter((line) => line === "the ledger is open again")).toHaveLength(restart)
      }
    })
  })
})
