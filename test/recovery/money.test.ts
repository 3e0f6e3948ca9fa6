import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { createLedger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { keyed } from "../support/batches.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { ready, startLedger, withLedger, withStores } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"
import { startStores } from "../support/stores.ts"
import { pay, rollBack, save, spent } from "./recovering.ts"

setDefaultTimeout(30_000)

/** What a lost Redis takes with it, and what comes back: credits, holds, answers, unknown batches. */

test("a credit that Redis had applied and Postgres did not have yet is applied again, once", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const first = await t.startFlusher()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await first.stop()
    await t.instruct(accountId, { kind: "redemption", amountFen: 50 })
    await t.instruct(accountId, { kind: "redemption", amountFen: 7 })
    expect(await t.ledger.applyPending(accountId)).toMatchObject({ account: { balanceFen: 157 } })
    await t.redis.flushall()
    const again = await t.startFlusher()
    await pay(t, accountId)
    await eventually(async () => (await spent(t, accountId)) === 1 - 57)
    await t.instruct(accountId, { kind: "redemption", amountFen: 3 })
    expect(await t.ledger.applyPending(accountId)).toMatchObject({ account: { balanceFen: 159 } })
    await t.books()
    await again.stop()
  })
})

test("a hold does not outlive its generation: what it held is available, and its capture says so", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const held = await t.ledger.hold({
      ...chargeOf({ accountId, amountFen: fen(60) }),
      ...{ ttlMs: 60_000, isInternal: false },
    })
    if (held.status !== "held") throw new Error(`not held: ${held.status}`)
    await t.books()
    await t.redis.flushall()
    await pay(t, accountId)
    const { holdId } = held
    const capture = { holdId, amountFen: null, idempotency: null }
    expect(await t.ledger.capture(capture)).toEqual({ status: "hold_lost" })
    expect(await t.ledger.readAccount(accountId)).toMatchObject({
      account: { balanceFen: 99, heldFen: 0 },
    })
  })
})

test("an account that was opened while Redis was away is there afterwards", async () => {
  await withLedger({}, async (t) => {
    const first = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await t.redis.flushall()
    await pay(t, first)
    const second = await t.openAccount({ balanceFen: 100 })
    await pay(t, second)
    expect([await spent(t, first), await spent(t, second)]).toEqual([1, 1])
  })
})

describe("a batch that was answered 503 and whose generation ended before its revoke", () => {
  for (const isKeyed of [false, true]) {
    test(`is taken back from the record${isKeyed ? ", and its retry runs anew" : ""}`, async () => {
      const stores = await startStores()
      const relay = await startRelay(stores.redisPort)
      const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
      const accountId = await t.openAccount({ balanceFen: 100 })
      const idempotency = isKeyed ? keyed("a-retried-charge") : null
      const item = { ...chargeOf({ accountId, amountFen: fen(1) }), idempotency }
      relay.holdReplies()
      const entries = () => t.redis.xlen("{p0}:1:stream")
      const entriesBefore = await entries()
      const charging = t.ledger.charge(item)
      await eventually(async () => (await entries()) > entriesBefore)
      // Redis has charged it, and Postgres has it; the gateway does not know, and cannot revoke it.
      relay.refuse()
      expect(await charging).toEqual({ status: "unavailable" })
      await t.books()
      await t.redis.flushall()
      await eventually(async () => (await generationOf(stores.sql)) === 2)
      relay.accept()
      await eventually(async () => (await t.ledger.health()).status === "ready")
      await eventually(async () => (await spent(t, accountId)) === 0)
      const retried = await eventually(async () => {
        const outcome = await t.ledger.charge(item)
        return outcome.status === "accepted" && outcome
      })
      expect(retried).toMatchObject({ isReplay: false })
      expect(await spent(t, accountId)).toBe(1)
      await t.books()
      await t.stop()
      await relay.stop()
      await stores.stop()
    })
  }
})

describe("a batch that was answered 503 and revoked, where Redis has lost just that", () => {
  for (const isFlushed of [false, true]) {
    const where = isFlushed ? "in the record, when its generation is over" : "in Redis"
    test(`is put back once more: ${where}`, async () => {
      await withStores({}, async (stores) => {
        const relay = await startRelay(stores.redisPort)
        const redisUrl = relay.through(stores.redisUrl)
        const t = await startLedger(stores, { redisUrl, flusher: false })
        const flusher = await t.startFlusher()
        const accountId = await t.openAccount({ balanceFen: 100 })
        await t.books()
        await flusher.stop()
        const entries = () => t.redis.xlen("{p0}:1:stream")
        const entriesBefore = await entries()
        relay.holdReplies()
        const charging = t.ledger.charge(chargeOf({ accountId, amountFen: fen(1) }))
        await eventually(async () => (await entries()) > entriesBefore)
        const charged = await save(t)
        expect(await charging).toEqual({ status: "unavailable" })
        relay.release()
        await eventually(() => t.log.some((line) => line.endsWith("is revoked")))
        relay.refuse()
        await rollBack(t, charged)
        if (isFlushed) {
          const again = await t.startFlusher()
          await eventually(async () => {
            const [row] = await stores.sql`select 1 from change_records where kind = 'charge'`
            return row !== undefined
          })
          await again.stop()
          await t.redis.flushall()
          await eventually(async () => (await generationOf(stores.sql)) === 2)
        }
        relay.accept()
        await eventually(async () => (await t.ledger.health()).status === "ready")
        const last = await t.startFlusher()
        await eventually(async () => (await spent(t, accountId)) === 0)
        await t.books()
        await last.stop()
        await t.stop()
        await relay.stop()
      })
    })
  }
})

test("a batch that was answered 503 in a generation that ended stands, where somebody was answered 200 since", async () => {
  const stores = await startStores()
  const relay = await startRelay(stores.redisPort)
  const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
  const other = await createLedger({
    ...{ redisUrl: stores.redisUrl, sql: stores.sql, dataDir: stores.dataDir },
    ...{ onBatch: () => undefined, log: () => undefined },
  })
  await ready(other)
  const accountId = await t.openAccount({ balanceFen: 100 })
  const item = { ...chargeOf({ accountId, amountFen: fen(1) }), idempotency: keyed("told") }
  relay.holdReplies()
  const entries = () => t.redis.xlen("{p0}:1:stream")
  const entriesBefore = await entries()
  const charging = t.ledger.charge(item)
  await eventually(async () => (await entries()) > entriesBefore)
  relay.refuse()
  expect(await other.charge(item)).toMatchObject({ status: "accepted", isReplay: true })
  expect(await charging).toEqual({ status: "unavailable" })
  await t.books()
  await t.redis.flushall()
  await eventually(async () => (await generationOf(stores.sql)) === 2)
  relay.accept()
  await eventually(async () => (await t.ledger.health()).status === "ready")
  // A gateway that is ready has settled what it owed; an instruction is carried out later.
  expect(await stores.sql`select 1 from instructions where kind = 'reversal'`).toHaveLength(0)
  expect(await t.ledger.charge(item)).toMatchObject({ status: "accepted", isReplay: true })
  expect(await spent(t, accountId)).toBe(1)
  await t.books()
  await other.stop()
  await t.stop()
  await relay.stop()
  await stores.stop()
})

type Sql = Awaited<ReturnType<typeof startStores>>["sql"]

async function generationOf(sql: Sql): Promise<number> {
  const [row] = await sql<{ generation: number }[]>`select generation from partitions`
  return row?.generation ?? 0
}
