import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { readMeta } from "../../src/ledger/meta.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
import { incidentsOf, keepPostgres, pay, spent } from "./recovering.ts"

setDefaultTimeout(30_000)

/** A Postgres that was restored to minutes ago is filled up again from Redis, and never the other way round. */

/** Postgres has everything, and Redis was told of it: that is how it knows that a restored one lacks something. */
async function told(t: TestLedger): Promise<void> {
  await t.books()
  await eventually(async () => {
    const meta = await readMeta(t.nodes, 0)
    return meta !== null && meta.entryFlushed === meta.entryNumber
  })
}

describe("a Postgres that was restored to an earlier moment", () => {
  test("while everything runs: gets all records again, and charges go on", async () => {
    await withLedger({}, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 100 })
      await pay(t, accountId)
      await t.books()
      const restore = await keepPostgres(t)
      for (let n = 0; n < 5; n++) await pay(t, accountId)
      await told(t)
      await restore()
      for (let n = 0; n < 3; n++) await pay(t, accountId)
      await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
      expect(await spent(t, accountId)).toBe(9)
      expect((await readOpening(t.stores.sql)).generations).toEqual([1])
      expect((await incidentsOf(t)).map(({ kind }) => kind)).toEqual(["postgres_back"])
    })
  })

  test("before an opening that gateways know, while the keeper is away: nothing is taken for lost", async () => {
    await withLedger({}, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const restore = await keepPostgres(t)
      await t.redis.script("FLUSH")
      for (let n = 0; n < 3; n++) await pay(t, accountId)
      await told(t)
      expect((await readOpening(t.stores.sql)).openings).toEqual([2])
      await t.stopKeeper()
      await restore()
      await t.redis.script("FLUSH")
      expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
      const { redisUrl, databaseUrl } = t.stores
      const log = (line: string) => void t.log.push(line)
      const keeper = await startKeeper({ redisUrl, databaseUrl, partitions: 1, log })
      await pay(t, accountId)
      await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
      expect(await spent(t, accountId)).toBe(4)
      expect((await readOpening(t.stores.sql)).generations).toEqual([1])
      expect((await incidentsOf(t)).map(({ kind }) => kind)).toEqual(["postgres_back"])
      await keeper.stop()
    })
  })

  test("while everything is stopped: gets all records again at the next start", async () => {
    await withStores({}, async (stores) => {
      const before = await startLedger(stores)
      const accountId = await before.openAccount({ balanceFen: 100 })
      await before.books()
      const restore = await keepPostgres(before)
      for (let n = 0; n < 5; n++) await pay(before, accountId)
      await before.books()
      await before.stop()
      await restore()
      await stores.restartRedis()
      const after = await startLedger(stores)
      await pay(after, accountId)
      expect(await spent(after, accountId)).toBe(6)
      expect((await incidentsOf(after)).map(({ kind }) => kind)).toEqual(["postgres_back"])
      await after.books()
      await after.stop()
    })
  })

  test("before accounts, credits and auth versions that Redis knows: none is lost, and no number is given twice", async () => {
    await withLedger({}, async (t) => {
      const known = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const restore = await keepPostgres(t)
      await t.instruct(known, { kind: "redemption", amountFen: 40 })
      await t.instruct(known, { kind: "auth_version", authVersion: 2 })
      await t.ledger.applyPending(known)
      const unknown = await t.openAccount({ balanceFen: 100 })
      await pay(t, unknown)
      await told(t)
      await restore()
      await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
      await pay(t, unknown)
      expect(await spent(t, unknown)).toBe(2)
      expect(await spent(t, known)).toBe(-40)
      const rows = await t.stores.sql<{ lastInstruction: number; authVersion: number }[]>`
        select last_instruction as "lastInstruction", auth_version as "authVersion"
        from accounts where id in (${known}, ${unknown}) order by last_instruction
      `
      expect(rows.map((row) => ({ ...row }))).toEqual([
        { lastInstruction: 2, authVersion: 1 },
        { lastInstruction: 4, authVersion: 2 },
      ])
      await t.instruct(known, { kind: "redemption", amountFen: 5 })
      expect(await t.ledger.applyPending(known)).toMatchObject({ account: { balanceFen: 145 } })
    })
  })

  test("before a redemption that was not flushed yet: it counts as redeemed all the same", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores, { flusher: false })
      const flusher = await t.startFlusher()
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const restore = await keepPostgres(t)
      await pay(t, accountId)
      await told(t)
      await flusher.stop()
      await t.instruct(accountId, { kind: "redemption", amountFen: 40 })
      await t.ledger.applyPending(accountId)
      await restore()
      await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
      expect(await stores.sql`select 1 from redemptions where amount_fen = 40`).toHaveLength(1)
      const again = await t.startFlusher()
      await t.books()
      await again.stop()
      await t.stop()
    })
  })

  test("as a standby that lagged, with all that Redis was told of: what Redis has beyond that is not given twice", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores, { flusher: false })
      const flusher = await t.startFlusher()
      const accountId = await t.openAccount({ balanceFen: 100 })
      await told(t)
      await flusher.stop()
      const restore = await keepPostgres(t)
      await t.instruct(accountId, { kind: "redemption", amountFen: 40 })
      await t.ledger.applyPending(accountId)
      await restore()
      await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
      await t.instruct(accountId, { kind: "redemption", amountFen: 5 })
      expect(await t.ledger.applyPending(accountId)).toMatchObject({ account: { balanceFen: 145 } })
      expect(await stores.sql`select 1 from redemptions`).toHaveLength(3)
      const [incident] = await incidentsOf(t)
      expect(incident).toMatchObject({
        kind: "postgres_back",
        detail: expect.stringContaining("1 redemptions"),
      })
      const again = await t.startFlusher()
      await t.books()
      await again.stop()
      await t.stop()
    })
  })

  test("restarted and whole: the account plane waits until that is known, and nothing is an incident", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores, { flusher: false })
      const accountId = await t.openAccount({ balanceFen: 100 })
      await pay(t, accountId)
      expect(await t.ledger.isRecordBehind()).toBe("level")
      await t.stopKeeper()
      await t.redis.set("{p0}:server", "another")
      expect(await t.ledger.isRecordBehind()).toBe("behind")
      const { redisUrl, databaseUrl } = stores
      const log = (line: string) => void t.log.push(line)
      const keeper = await startKeeper({ redisUrl, databaseUrl, partitions: 1, log })
      expect(await t.ledger.isRecordBehind()).toBe("level")
      expect(await incidentsOf(t)).toEqual([])
      const flusher = await t.startFlusher()
      await t.books()
      await flusher.stop()
      await keeper.stop()
      await t.stop()
    })
  })

  test("restarted, and cannot be compared: charges go on, and the account plane waits", async () => {
    await withStores({}, async (stores) => {
      const before = await startLedger(stores, { flusher: false })
      const accountId = await before.openAccount({ balanceFen: 100 })
      const flusher = await before.startFlusher()
      await before.books()
      await flusher.stop()
      await pay(before, accountId)
      await before.stopKeeper()
      await before.redis.set("{p0}:server", "another")
      await before.stop()
      await stores.restartRedis()
      const { sql } = stores
      await sql`update account_snapshots set balance_fen = balance_fen + 1`
      const after = await startLedger(stores, { flusher: false })
      await pay(after, accountId)
      expect(await after.ledger.isRecordBehind()).toBe("behind")
      expect(
        after.log.filter((line) => line.startsWith("Postgres cannot be compared")),
      ).toHaveLength(1)
      await sql`update account_snapshots set balance_fen = balance_fen - 1`
      await eventually(async () => (await after.ledger.isRecordBehind()) === "level")
      expect(await spent(after, accountId)).toBe(2)
      const again = await after.startFlusher()
      await after.books()
      await again.stop()
      await after.stop()
    })
  })

  test("before the generation that Redis runs: finds its way from one stream to the next", async () => {
    await withLedger({}, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const restore = await keepPostgres(t)
      await pay(t, accountId)
      await told(t)
      await t.redis.set("{p0}:meta", "")
      await t.redis.del("{p0}:meta")
      await pay(t, accountId)
      await told(t)
      expect((await readOpening(t.stores.sql)).generations).toEqual([2])
      await restore()
      await eventually(async () => (await t.ledger.isRecordBehind().catch(() => "")) === "level")
      await pay(t, accountId)
      expect(await spent(t, accountId)).toBe(3)
      expect((await readOpening(t.stores.sql)).generations).toEqual([2])
    })
  })

  test("further back than the stream reaches: Redis is not built from it, and the operator is told", async () => {
    await withStores({}, async (stores) => {
      const t = await startLedger(stores)
      const accountId = await t.openAccount({ balanceFen: 100 })
      await t.books()
      const restore = await keepPostgres(t)
      for (let n = 0; n < 5; n++) await pay(t, accountId)
      await told(t)
      await t.redis.xtrim("{p0}:1:stream", "MINID", "1-5")
      await restore()
      await eventually(() => t.log.some((line) => line.includes("restore a later backup")))
      await pay(t, accountId)
      expect(await spent(t, accountId)).toBe(6)
      expect((await readOpening(stores.sql)).generations).toEqual([1])
      expect(await t.ledger.isRecordBehind()).toBe("behind")
      await t.stop()
    })
  })
})
