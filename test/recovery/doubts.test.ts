import { expect, setDefaultTimeout, test } from "bun:test"
import { readOpening } from "../../db/queries/read-opening.ts"
import { hashTag } from "../../src/ledger/hash-tag.ts"
import { eventually } from "../support/eventually.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { incidentsOf, pay, rollBack, save, spent } from "./recovering.ts"

setDefaultTimeout(30_000)

/**
 * A former master that is promoted again before anybody has opened another node: it lacks what was written
 * since, and the scripts that it has are those of the opening in force.
 */
async function rollBackUnnoticed(t: TestLedger, saved: Awaited<ReturnType<typeof save>>) {
  const { openings } = await readOpening(t.stores.sql)
  await rollBack(t, saved, { scriptsOf: openings[0] ?? 0 })
}

test("a Redis that went back, and still has its scripts: who has seen more tells, and the loss is counted", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const flusher = await t.startFlusher()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await flusher.stop()
    for (let n = 0; n < 3; n++) await pay(t, accountId)
    const saved = await save(t)
    for (let n = 0; n < 5; n++) await pay(t, accountId)
    await rollBackUnnoticed(t, saved)
    const again = await t.startFlusher()
    await pay(t, accountId)
    const lost = (await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")
    expect(lost).toMatchObject([{ partition: 0, generation: 1, records: 5 }])
    expect((await readOpening(t.stores.sql)).generations).toEqual([2])
    expect(await spent(t, accountId)).toBe(3 + 1)
    await t.books()
    await again.stop()
  })
})

test("a Redis that lacks what Postgres has, and still has its scripts, is built anew before anybody asks", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    const saved = await save(t)
    for (let n = 0; n < 5; n++) await pay(t, accountId)
    await t.books()
    await rollBackUnnoticed(t, saved)
    await eventually(async () => expect((await readOpening(t.stores.sql)).generations).toEqual([2]))
    await pay(t, accountId)
    expect(await spent(t, accountId)).toBe(6)
  })
})

test("of two partitions on a node that one of them doubts, both go on, and the sound one keeps its generation", async () => {
  await withLedger({ partitions: 2, flusher: false }, async (t) => {
    const flusher = await t.startFlusher()
    const [damaged, sound] = [
      await t.openAccount({ balanceFen: 100, partition: 0 }),
      await t.openAccount({ balanceFen: 100, partition: 1 }),
    ]
    await t.books()
    await flusher.stop()
    const saved = (await save(t)).filter(({ key }) => key.startsWith("{p0}"))
    for (let n = 0; n < 4; n++) await pay(t, damaged)
    for (let n = 0; n < 4; n++) await pay(t, sound)
    const others = (await save(t)).filter(({ key }) => key.startsWith(`{${hashTag(1)}}`))
    await rollBackUnnoticed(t, [...saved, ...others])
    const again = await t.startFlusher()
    await pay(t, damaged)
    await pay(t, sound)
    expect((await readOpening(t.stores.sql)).generations).toEqual([2, 1])
    const lost = (await incidentsOf(t)).filter(({ kind }) => kind === "records_lost")
    expect(lost).toMatchObject([{ partition: 0, generation: 1, records: 4 }])
    expect([await spent(t, damaged), await spent(t, sound)]).toEqual([1, 5])
    await t.books()
    await again.stop()
  })
})
