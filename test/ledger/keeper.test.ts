import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { scriptHashes } from "../../src/ledger/scripts.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { LedgerRefused } from "../../src/recovery/requirements.ts"
import { eventually } from "../support/eventually.ts"
import { failureOf } from "../support/failure.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
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

/** All of Postgres that money stands in, as text. */
async function booksAsText({ sql }: Stores): Promise<string> {
  const rows = await sql`
    select (select json_agg(p) from partitions p) as p, (select json_agg(r) from change_records r) as r,
      (select json_agg(s) from account_snapshots s) as s, (select json_agg(l) from ledger l) as l
  `
  return JSON.stringify(rows)
}

describe("a Redis that cannot hold money is refused, with a sentence that says what to change", () => {
  test("it may evict", async () => {
    await withStores({}, async (stores) => {
      await onRedis(stores, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
      expect(await refusalOf(stores)).toBe(
        "This Redis may evict balances (maxmemory-policy allkeys-lru): set maxmemory-policy noeviction.",
      )
      await onRedis(stores, "CONFIG", "SET", "maxmemory-policy", "noeviction")
      expect(await refusalOf(stores)).toBe("none: it was opened")
    })
  })

  test("it forgets at a restart", async () => {
    await withStores({}, async (stores) => {
      await onRedis(stores, "CONFIG", "SET", "appendonly", "no")
      expect(await refusalOf(stores)).toBe(
        "This Redis would forget balances at a restart: set appendonly yes, and appendfsync always.",
      )
    })
  })

  test("also where its scripts are loaded already", async () => {
    await withStores({}, async (stores) => {
      expect(await refusalOf(stores)).toBe("none: it was opened")
      await onRedis(stores, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
      expect(await refusalOf(stores)).toContain("This Redis may evict balances")
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

describe("a Redis that was wiped", () => {
  const LOST =
    /^Redis and Postgres do not hold the same ledger: of partition 0 Postgres has generation 1, entry 2, and Redis has nothing\. Nothing is charged until/

  async function wipe(t: TestLedger, how: "FLUSHALL" | "restart"): Promise<string> {
    const accountId = await t.openAccount({ balanceFen: 10 })
    await t.charge(accountId, 1)
    await t.books()
    const books = await booksAsText(t.stores)
    await t.redis.flushall()
    if (how === "restart") await t.stores.restartRedis()
    for (let i = 0; i < 20; i++)
      expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
    expect(await t.ledger.readAccount(accountId)).toEqual({ status: "unavailable" })
    expect(await t.ledger.applyPending(accountId)).toEqual({ status: "unavailable" })
    expect((await t.ledger.health()).status).toBe("unavailable")
    return books
  }

  for (const how of ["FLUSHALL", "restart"] as const) {
    test(`by ${how} is fenced: nothing is charged, the keeper says why, and Postgres stays as it was`, async () => {
      await withStores({}, async (stores) => {
        const t = await startLedger(stores)
        const books = await wipe(t, how)
        await eventually(() =>
          t.log.some((line) => LOST.test(line.replace("the ledger cannot be opened: ", ""))),
        )
        expect(await refusalOf(stores)).toMatch(LOST)
        expect(await booksAsText(stores)).toBe(books)
        expect(await onRedis(stores, "KEYS", "*")).toEqual([])
        await t.stop()
      })
    })
  }
})

describe("a Redis that went back", () => {
  test("to before the watermark is refused", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores)
      const accountId = await t.openAccount({ balanceFen: 10 })
      await t.books()
      const before = await onRedis(stores, "GET", "{p0}:meta")
      expect(before).not.toBeNull()
      const meta = await t.redis.getBuffer("{p0}:meta")
      await t.charge(accountId, 1)
      await t.books()
      await t.stop()
      await stores.restartRedis()
      const redis = connectRedis(stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
      await connected(redis, 5_000)
      await redis.set("{p0}:meta", meta ?? "")
      await redis.xdel("{p0}:1:stream", "1-2")
      redis.disconnect()
      expect(await refusalOf(stores)).toMatch(
        /Postgres has generation 1, entry 2, and Redis has generation 1, entry 1/,
      )
    })
  })

  test("and came to the same number by another way is refused: its entry has another id", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores)
      await t.openAccount({ balanceFen: 10 })
      await t.books()
      await t.stop()
      await stores.sql`update partitions set entry_id = 'otherone'`
      await stores.restartRedis()
      expect(await refusalOf(stores)).toContain("do not hold the same ledger")
    })
  })

  test("to another life of the ledger is refused", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores)
      await t.books()
      await t.stop()
      await stores.sql`update partitions set generation = 2`
      await stores.restartRedis()
      expect(await refusalOf(stores)).toMatch(
        /Postgres has generation 2, entry 0, and Redis has generation 1/,
      )
    })
  })
})
