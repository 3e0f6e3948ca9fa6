import { expect, setDefaultTimeout, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import type { AccountId } from "../../src/ids.ts"
import { eventually } from "../support/eventually.ts"
import { alarmsOf, chargeMany, expectAllRecords, progress } from "../support/flushing.ts"
import { startLedger, type TestLedger, withLedger, withStores } from "../support/ledger.ts"
import { type Relay, startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

/** Connections to Postgres that end at every moment of a flush: each record is written once. */

async function withPostgresRelay(
  run: (t: TestLedger, relay: Relay) => Promise<void>,
): Promise<void> {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.databasePort)
    const t = await startLedger(stores, {
      flusher: { databaseUrl: relay.through(stores.databaseUrl) },
    })
    await run(t, relay)
    await t.books()
    expect(alarmsOf(t)).toEqual([])
    await t.stop()
    await relay.stop()
  })
}

test("its backends are terminated at random moments under load", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 10_000 })
    const killer = connectSql(t.stores.databaseUrl, { max: 1, applicationName: "killer" })
    let [charged, killed] = [0, 0]
    while (killed < 25) {
      await chargeMany(t, accountId, 20)
      charged += 20
      await Bun.sleep(Math.random() * 60)
      const rows = await killer`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'fengate flusher' and datname = current_database()
      `
      killed += rows.length
    }
    await killer.end()
    await t.books()
    await expectAllRecords(t, accountId, { least: charged + 1 })
    expect(alarmsOf(t)).toEqual([])
  })
})

test("the connection is cut after the commit and before its answer: the watermark says that it is done", async () => {
  await withPostgresRelay(async (t, relay) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    for (let round = 1; round <= 4; round++) {
      const isCut = relay.cutBeforeReplyTo(accountId)
      await chargeMany(t, accountId, 10)
      await isCut
      await eventually(async () => await expectAllRecords(t, accountId, { least: 10 * round + 1 }))
    }
  })
})

test("the connection is cut when the records are about to be sent: nothing of them was written", async () => {
  await withPostgresRelay(async (t, relay) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    for (let round = 1; round <= 4; round++) {
      const cut = Promise.withResolvers<void>()
      relay.interrupt(accountId, "request", cut.resolve)
      await chargeMany(t, accountId, 10)
      await cut.promise
      await t.books()
      await expectAllRecords(t, accountId, { least: 10 * round + 1 })
    }
  })
})

test("the statement never reaches Postgres: it is written by the next one", async () => {
  await withPostgresRelay(async (t, relay) => {
    const accountId = await t.openAccount({ balanceFen: 1_000 })
    await t.books()
    const charged = await holdFlush(t, relay, accountId)
    relay.cutAll()
    await t.books()
    await expectAllRecords(t, accountId, { least: charged + 1 })
  })
})

test("the statement arrives long after its connection was given up: it moves nothing that was moved since", async () => {
  await withPostgresRelay(async (t, relay) => {
    const accountId = await t.openAccount({ balanceFen: 1_000 })
    await t.books()
    const charged = await holdFlush(t, relay, accountId)
    relay.cutClients()
    await t.books()
    relay.release()
    await chargeMany(t, accountId, 10)
    await t.books()
    await expectAllRecords(t, accountId, { least: charged + 11 })
  })
})

/** Charges until a flush of it is on its way, and kept there; answers how many charges that took. */
async function holdFlush(t: TestLedger, relay: Relay, accountId: AccountId): Promise<number> {
  for (let charged = 10; charged < 1_000; charged += 10) {
    relay.holdRequests()
    await chargeMany(t, accountId, 10)
    // On a connection that does not know the statement yet its text goes first, alone; and one that
    // was made meanwhile is not held.
    await eventually(async () => {
      if (relay.isHolding(accountId) || relay.isHolding("insert into change_records")) return true
      const { written, flushed } = await progress(t)
      return written === flushed
    })
    if (relay.isHolding(accountId)) return charged
    relay.release()
    await t.books()
  }
  throw new Error("no flush was held")
}

test("Postgres is away for 3 s: charges go on, and everything is written afterwards", async () => {
  await withPostgresRelay(async (t, relay) => {
    const accountId = await t.openAccount({ balanceFen: 10_000 })
    await t.books()
    const { flushed } = await progress(t)
    relay.refuse()
    const awayUntil = performance.now() + 3_000
    let charged = 0
    while (performance.now() < awayUntil) {
      await chargeMany(t, accountId, 20)
      charged += 20
      await Bun.sleep(50)
    }
    expect((await progress(t)).flushed).toBe(flushed)
    relay.accept()
    const backAt = performance.now()
    await eventually(async () => {
      const { written, flushed: caughtUp } = await progress(t)
      return caughtUp === written
    })
    console.log(`caught up ${Math.round(performance.now() - backAt)} ms after Postgres was back`)
    await expectAllRecords(t, accountId, { least: charged + 1 })
  })
})

test("Redis is away for a while, and again: the flusher goes on where it was", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { flusher: { redisUrl: relay.through(stores.redisUrl) } })
    const accountId = await t.openAccount({ balanceFen: 1_000 })
    for (let round = 1; round <= 3; round++) {
      relay.refuse()
      await chargeMany(t, accountId, 50)
      await eventually(
        () => t.log.filter((line) => line.includes("flushing pauses")).length >= round,
      )
      relay.accept()
      await t.books()
      await expectAllRecords(t, accountId, { least: 50 * round + 1 })
    }
    expect(alarmsOf(t)).toEqual([])
    await t.stop()
    await relay.stop()
  })
})
