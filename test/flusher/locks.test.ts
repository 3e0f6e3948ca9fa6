import { expect, setDefaultTimeout, test } from "bun:test"
import { eventually } from "../support/eventually.ts"
import { chargeMany, expectAllRecords, progress } from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** Nothing that somebody else locks can stop a flush. */

test("a transaction that keeps the rows of accounts, keys and codes locked stops no flush", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await whileLocked(t, ["accounts", "api_keys", "redemption_codes", "interfaces"], async () => {
      await chargeMany(t, accountId, 20)
      await flushed(t, 0)
      await expectAllRecords(t, accountId, { least: 21 })
    })
  })
})

test("a partition whose flush waits for a lock keeps no other one from being flushed", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    const [first, second] = [
      await t.openAccount({ balanceFen: 100, partition: 0 }),
      await t.openAccount({ balanceFen: 100, partition: 1 }),
    ]
    // The rows of a kind are there once it has been posted.
    for (const accountId of [first, second]) await chargeMany(t, accountId, 1)
    await t.books()
    const before = await progress(t, 0)
    await whileLocked(t, ["counter_accounts where partition = 0"], async () => {
      await chargeMany(t, first, 5)
      await chargeMany(t, second, 5)
      await flushed(t, 1)
      expect((await progress(t, 0)).flushed).toBe(before.flushed)
    })
    await t.books()
    await expectAllRecords(t, first, { least: 7 })
  })
})

async function flushed(t: TestLedger, partition: number): Promise<void> {
  await eventually(async () => {
    const { written, flushed: committed } = await progress(t, partition)
    expect(committed).toBe(written)
  })
}

async function whileLocked(
  { stores: { sql } }: TestLedger,
  rows: readonly string[],
  work: () => Promise<void>,
): Promise<void> {
  await sql.begin(async (transaction) => {
    for (const each of rows) await transaction.unsafe(`select 1 from ${each} for update`)
    await work()
  })
}
