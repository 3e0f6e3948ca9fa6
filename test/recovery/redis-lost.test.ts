import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import type { AccountId } from "../../src/ids.ts"
import { streamKey } from "../../src/ledger/keys.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { eventually } from "../support/eventually.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { incidentsOf, pay, rollBack, save, spent } from "./recovering.ts"

setDefaultTimeout(30_000)

/** A Redis that lost data is not believed: it is fenced, and built anew from Postgres. */

describe("a Redis that was wiped, after Postgres had everything", () => {
  for (const how of ["FLUSHALL", "a restart without its data"] as const) {
    test(`by ${how} comes back from Postgres, and nothing is lost`, async () => {
      await withLedger({ partitions: 2 }, async (t) => {
        const accounts = [
          await t.openAccount({ balanceFen: 10, partition: 0 }),
          await t.openAccount({ balanceFen: 20, partition: 1 }),
        ]
        for (const accountId of accounts) await pay(t, accountId)
        await t.books()
        await t.redis.flushall()
        if (how !== "FLUSHALL") await t.stores.restartRedis()
        for (const accountId of accounts) await pay(t, accountId)
        expect(await balances(t, accounts)).toEqual([8, 18])
        expect((await readOpening(t.stores.sql)).generations).toEqual([2, 2])
        expect(await incidentsOf(t)).toMatchObject([
          { partition: 0, generation: 1, kind: "redis_lost" },
          { partition: 1, generation: 1, kind: "redis_lost" },
        ])
      })
    })
  }

  test("one partition of two is fenced and built anew; the other goes on in its generation", async () => {
    await withLedger({ partitions: 2 }, async (t) => {
      const accounts = [
        await t.openAccount({ balanceFen: 10, partition: 0 }),
        await t.openAccount({ balanceFen: 20, partition: 1 }),
      ]
      await t.books()
      await t.redis.unlink(...(await t.redis.keys("{p0}:*")))
      for (const accountId of accounts) await pay(t, accountId)
      expect((await readOpening(t.stores.sql)).generations).toEqual([2, 1])
      expect((await readOpening(t.stores.sql)).openings).toEqual([1, 1])
      expect(await balances(t, accounts)).toEqual([9, 19])
    })
  })
})

describe("a Redis that lost what Postgres did not have yet", () => {
  test("all of it: what was answered and is gone is counted, to the record", async () => {
    await withLedger({ flusher: false }, async (t) => {
      const flusher = await t.startFlusher()
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      await flusher.stop()
      for (let n = 0; n < 7; n++) await pay(t, accountId)
      await t.redis.flushall()
      const again = await t.startFlusher()
      await pay(t, accountId)
      await eventually(async () =>
        (await incidentsOf(t)).some(({ kind }) => kind === "records_lost"),
      )
      expect(await spent(t, accountId)).toBe(1)
      expect((await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")).toMatchObject([
        { partition: 0, generation: 1, records: 7 },
      ])
      await t.books()
      await again.stop()
    })
  })

  test("its end: the suffix is counted, the generation is ended, and the rest is kept", async () => {
    await withLedger({ flusher: false }, async (t) => {
      const flusher = await t.startFlusher()
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      await flusher.stop()
      for (let n = 0; n < 3; n++) await pay(t, accountId)
      const saved = await save(t)
      for (let n = 0; n < 5; n++) await pay(t, accountId)
      await rollBack(t, saved)
      const again = await t.startFlusher()
      await pay(t, accountId)
      await eventually(async () =>
        (await incidentsOf(t)).some(({ kind }) => kind === "records_lost"),
      )
      await eventually(async () => (await readOpening(t.stores.sql)).generations[0] === 2)
      const lost = (await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")
      expect(lost).toMatchObject([{ partition: 0, generation: 1, records: 5 }])
      await pay(t, accountId)
      expect(await spent(t, accountId)).toBe(3 + 2)
      await t.books()
      await again.stop()
    })
  })

  test("below the watermark: all that Postgres has is kept", async () => {
    await withLedger({}, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const saved = await save(t)
      for (let n = 0; n < 5; n++) await pay(t, accountId)
      await t.books()
      await rollBack(t, saved)
      await pay(t, accountId)
      expect(await spent(t, accountId)).toBe(6)
      expect((await readOpening(t.stores.sql)).generations).toEqual([2])
      expect((await incidentsOf(t)).map(({ kind }) => kind)).toEqual(["redis_lost"])
    })
  })

  test("and came to the same number by another way: its entry has another id", async () => {
    await withLedger({}, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const saved = await save(t)
      await pay(t, accountId)
      await t.books()
      await t.stores.sql`update partitions set entry_id = 'otherone'`
      await rollBack(t, saved)
      await pay(t, accountId)
      expect(await spent(t, accountId)).toBe(2)
      expect((await readOpening(t.stores.sql)).generations).toEqual([2])
    })
  })
})

test("a master of before that is promoted again runs nothing: its scripts are of another opening", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    const saved = await save(t)
    await pay(t, accountId)
    await t.books()
    await t.redis.script("FLUSH")
    await eventually(async () => (await readOpening(t.stores.sql)).openings[0] === 2)
    await pay(t, accountId)
    await t.books()
    // The same node comes back with the data and the scripts of opening 1.
    await rollBack(t, saved, { scriptsOf: 1 })
    await pay(t, accountId)
    expect(await spent(t, accountId)).toBe(3)
    expect((await readOpening(t.stores.sql)).generations).toEqual([2])
  })
})

test("a master of before that is promoted again carries out nothing, before a keeper has looked at it", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    const saved = await save(t)
    await t.redis.script("FLUSH")
    await eventually(async () => (await readOpening(t.stores.sql)).openings[0] === 2)
    await pay(t, accountId)
    await t.books()
    await t.stopKeeper()
    await rollBack(t, saved, { scriptsOf: 1 })
    // An instruction needs no slot, so that nothing but the script itself can refuse it.
    const entries = await t.redis.xlen(streamKey(0, 1))
    await t.instruct(accountId, { kind: "redemption", amountFen: 5 })
    expect(await t.ledger.applyPending(accountId)).toEqual({ status: "unavailable" })
    expect((await t.charge(accountId, 1)).status).toBe("unavailable")
    expect(await t.redis.xlen(streamKey(0, 1))).toBe(entries)

    const { redisUrl, databaseUrl, partitions } = t.stores
    const log = (line: string) => void t.log.push(line)
    const keeper = await startKeeper({ redisUrl, databaseUrl, partitions, log })
    await eventually(async () =>
      expect(await t.ledger.applyPending(accountId)).toMatchObject({ status: "applied" }),
    )
    await pay(t, accountId)
    expect(await spent(t, accountId)).toBe(2 - 5)
    await keeper.stop()
  })
})

async function balances(t: TestLedger, accounts: readonly AccountId[]): Promise<number[]> {
  const states = await Promise.all(accounts.map((accountId) => t.ledger.readAccount(accountId)))
  return states.map((state) => (state.status === "found" ? state.account.balanceFen : -1))
}
