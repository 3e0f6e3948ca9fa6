import { expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { createLedger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { ready, startLedger, withLedger, withStores } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"
import { incidentsOf, pay, rollBack, save, spent } from "./recovering.ts"

setDefaultTimeout(30_000)

/** Gateways witness what a Redis had: they tell all of what it lost, and nothing that it has. */

test("a Redis that went back while a batch was to be revoked: the loss is told, and charges go on", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, {
      redisUrl: relay.through(stores.redisUrl),
      flusher: false,
    })
    const flusher = await t.startFlusher()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await flusher.stop()
    for (let n = 0; n < 3; n++) await pay(t, accountId)
    const saved = await save(t)
    for (let n = 0; n < 5; n++) await pay(t, accountId)
    relay.holdReplies()
    expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
    // What it answered to the batch, and to its revoke, is lost with all that it had since.
    await rollBack(t, saved)
    relay.cutAll()

    const again = await t.startFlusher()
    await eventually(async () => {
      const lost = (await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")
      expect(lost).toMatchObject([{ partition: 0, generation: 1, records: 5 }])
      expect((await readOpening(t.stores.sql)).generations).toEqual([2])
    })
    await pay(t, accountId)
    expect(await spent(t, accountId)).toBe(3 + 1)
    await t.books()
    await again.stop()
    await t.stop()
    await relay.stop()
  })
})

test("a Redis that forgot batches which wrote nothing, while one was to be revoked, has lost nothing", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const accountId = await t.openAccount({ balanceFen: 100 })
    await pay(t, accountId)
    await t.books()
    const saved = await save(t)
    for (let n = 0; n < 3; n++) {
      expect(await t.charge(accountId, 1_000)).toMatchObject({ status: "insufficient_balance" })
    }
    relay.holdRequests()
    expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
    await rollBack(t, saved)
    relay.cutAll()

    await pay(t, accountId)
    expect(await spent(t, accountId)).toBe(2)
    expect((await readOpening(t.stores.sql)).generations).toEqual([1])
    expect(await incidentsOf(t)).toEqual([])
    await t.books()
    await t.stop()
    await relay.stop()
  })
})

test("a partition that heard of no opening, and was charged all the same, has lost nothing at the next", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    const quick = await t.openAccount({ balanceFen: 100, partition: 0 })
    const idle = await t.openAccount({ balanceFen: 100, partition: 1 })
    await pay(t, idle)
    await t.redis.script("FLUSH")
    await eventually(async () => (await readOpening(t.stores.sql)).openings.join() === "2,2")
    // This one is told, and with it the whole process: the other goes on as if nothing had been.
    await pay(t, quick)
    for (let n = 0; n < 5; n++) await pay(t, idle)
    await t.redis.script("FLUSH")
    await t.charge(idle, 1)
    await pay(t, idle)
    await t.books()
    expect(await incidentsOf(t)).toEqual([])
    expect((await readOpening(t.stores.sql)).generations).toEqual([1, 1])
  })
})

test("a loss is told by a process to which nobody speaks, in each of its partitions", async () => {
  await withLedger({ partitions: 2, flusher: false }, async (t) => {
    const flusher = await t.startFlusher()
    const accounts = [
      await t.openAccount({ balanceFen: 100, partition: 0 }),
      await t.openAccount({ balanceFen: 100, partition: 1 }),
    ]
    await t.books()
    await flusher.stop()
    const saved = await save(t)
    for (const accountId of accounts) for (let n = 0; n < 4; n++) await pay(t, accountId)
    await rollBack(t, saved)
    const again = await t.startFlusher()
    await eventually(async () => {
      const lost = (await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")
      const found = lost.map(({ partition, records }) => `${partition}: ${records}`)
      expect(found.toSorted()).toEqual(["0: 4", "1: 4"])
      expect((await readOpening(t.stores.sql)).generations).toEqual([2, 2])
    })
    await eventually(async () => expect(await t.ledger.health()).toEqual({ status: "ready" }))
    for (const accountId of accounts) await pay(t, accountId)
    await t.books()
    await again.stop()
  })
})

test("a loss that is told at two openings is counted once, as far as anybody has seen", async () => {
  await withLedger({}, async (t) => {
    await t.openAccount({ balanceFen: 100 })
    await t.books()
    // At the first, entries from 6 on were missing; two were written anew until the second.
    await t.stores.sql`
      insert into losses (partition, generation, opening, seen_opening, entry_number, records, had_entry,
        had_records)
      values (0, 1, 7, 6, 10, 19, 5, 10), (0, 1, 8, 6, 10, 19, 7, 12), (0, 1, 9, 6, 12, 21, 7, 12)
    `
    await eventually(async () => {
      expect((await readOpening(t.stores.sql)).generations).toEqual([2])
      const open = await t.stores.sql`select 1 from losses where not handled`
      expect(open).toHaveLength(0)
    })
    const lost = await t.stores.sql`
      select from_entry::float8 as from, through_entry::float8 as through, records::float8 as records
      from incidents where kind = 'records_lost'
    `
    expect([...lost]).toEqual([{ from: 6, through: 12, records: 11 }])
  })
})

test("what was written after a Redis went back is no loss, under whatever numbers it stands", async () => {
  await withStores({}, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { flusher: false })
    const flusher = await t.startFlusher()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await flusher.stop()
    const cutOff = await createLedger({
      ...{ redisUrl: relay.through(stores.redisUrl), sql: stores.sql, dataDir: stores.dataDir },
      ...{ onBatch: () => undefined, log: (line) => void t.log.push(line) },
    })
    await ready(cutOff)
    await pay(t, accountId)
    const saved = await save(t)
    for (let n = 0; n < 5; n++) {
      await eventually(async () => {
        const charged = await cutOff.charge(chargeOf({ accountId, amountFen: fen(1) }))
        return charged.status === "accepted"
      })
    }
    relay.refuse()
    await rollBack(t, saved)
    // The one that had not seen more than is there goes on, past the number that the other has seen.
    for (let n = 0; n < 8; n++) await pay(t, accountId)
    relay.accept()
    const again = await t.startFlusher()
    await eventually(async () => expect((await readOpening(stores.sql)).generations).toEqual([2]))
    for (const ledger of [t.ledger, cutOff]) await ready(ledger)
    await eventually(
      async () => (await stores.sql`select 1 from losses where not handled`).length === 0,
    )
    const lost = (await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")
    expect(lost).toMatchObject([{ generation: 1, records: 5 }])
    expect(await spent(t, accountId)).toBe(1 + 8)
    await t.books()
    await again.stop()
    await cutOff.stop()
    await t.stop()
    await relay.stop()
  })
})

test("a gateway that ends before Redis is built anew has left what it saw: the loss is told", async () => {
  await withStores({}, async (stores) => {
    const t = await startLedger(stores, { flusher: false })
    const flusher = await t.startFlusher()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await flusher.stop()
    for (let n = 0; n < 5; n++) await pay(t, accountId)
    await t.stopKeeper()
    await t.redis.flushall()
    expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
    await eventually(async () => (await stores.sql`select 1 from sightings`).length === 1)
    await t.stop()

    const after = await startLedger(stores)
    await eventually(async () => {
      const lost = (await incidentsOf(after)).filter(({ kind }) => kind === "records_lost")
      expect(lost).toMatchObject([{ partition: 0, generation: 1, records: 5 }])
    })
    expect(await stores.sql`select 1 from sightings`).toHaveLength(0)
    await pay(after, accountId)
    expect(await spent(after, accountId)).toBe(1)
    await after.books()
    await after.stop()
  })
})

test("a Redis that was away for a moment has lost nothing that anybody left", async () => {
  await withStores({}, async (stores) => {
    const t = await startLedger(stores)
    const accountId = await t.openAccount({ balanceFen: 100 })
    for (let n = 0; n < 5; n++) await pay(t, accountId)
    await t.stopKeeper()
    await t.redis.script("FLUSH")
    expect(await t.charge(accountId, 1)).toEqual({ status: "unavailable" })
    await eventually(async () => (await stores.sql`select 1 from sightings`).length === 1)
    await t.stop()

    const after = await startLedger(stores)
    await pay(after, accountId)
    await eventually(async () => (await stores.sql`select 1 from sightings`).length === 0)
    expect(await spent(after, accountId)).toBe(6)
    expect(await incidentsOf(after)).toEqual([])
    await after.books()
    await after.stop()
  })
})
