import { expect, setDefaultTimeout, test } from "bun:test"
import { reconcile } from "../../src/reconcile/reconcile.ts"
import { eventually } from "../support/eventually.ts"
import { failureOf } from "../support/failure.ts"
import { chargeMany } from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** The books are proven while they are written, up to a position that never moves over a fault. */

async function proven({ stores }: TestLedger) {
  const [row] = await stores.sql<{ position: string; drift: string; through: Date | null }[]>`
    select reconciled_position as position, drift_fen as drift, reconciled_through as through
    from reporting.reconciliation where partition = 0
  `
  return {
    position: Number(row?.position),
    driftFen: Number(row?.drift),
    through: row?.through ?? null,
  }
}

/** Everything flushed, and no flusher that would reconcile as well. */
async function withFlushed(
  run: (t: TestLedger, look: () => Promise<string[]>) => Promise<void>,
): Promise<void> {
  await withLedger({ flusher: false }, async (t) => {
    await chargeMany(t, await t.openAccount({ balanceFen: 100 }), 40)
    await (await t.startFlusher()).stop()
    await t.stores.sql`delete from reconciliation`
    const alarms: string[] = []
    await run(t, async () => {
      alarms.length = 0
      await reconcile(t.stores.sql, { partitions: 1, log: (line) => void alarms.push(line) })
      return [...alarms]
    })
  })
}

test("it follows the watermark by itself, with a drift of nothing", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    for (const count of [1, 30, 60]) {
      await chargeMany(t, accountId, count)
      const { records } = await t.books()
      await eventually(async () =>
        expect(await proven(t)).toMatchObject({ position: records, driftFen: 0 }),
      )
    }
  })
})

test("it moves to the watermark, and says up to what moment", async () => {
  await withFlushed(async (t, look) => {
    expect(await look()).toEqual([])
    const [last] = await t.stores.sql<{ at: Date }[]>`select max(at) as at from change_records`
    expect(await proven(t)).toEqual({ position: 41, driftFen: 0, through: last?.at ?? null })
    expect(await look()).toEqual([])
    expect(await proven(t)).toEqual({ position: 41, driftFen: 0, through: last?.at ?? null })
  })
})

test("a balance that was tampered with is found as a drift, and the position stays", async () => {
  await withFlushed(async (t, look) => {
    for (const tampered of [5, -5]) {
      await t.stores.sql`update account_snapshots set balance_fen = balance_fen + ${tampered}`
      expect(await look()).toEqual(["ALARM partition 0: drift of 5 fen, 0 records missing"])
      expect(await proven(t)).toEqual({ position: 0, driftFen: 5, through: null })
      await t.stores.sql`update account_snapshots set balance_fen = balance_fen - ${tampered}`
    }
    expect(await look()).toEqual([])
    expect(await proven(t)).toMatchObject({ position: 41, driftFen: 0 })
  })
})

test("a record that was deleted is found as missing, and the position stays before it", async () => {
  await withFlushed(async (t, look) => {
    await t.stores.sql`create table kept as select * from change_records where position = 7`
    await t.stores.sql`delete from change_records where position = 7`
    expect(await look()).toEqual(["ALARM partition 0: drift of 0 fen, 1 records missing"])
    expect(await proven(t)).toMatchObject({ position: 0 })
    await t.stores.sql`insert into change_records select * from kept`
    expect(await look()).toEqual([])
    expect(await proven(t)).toMatchObject({ position: 41 })
  })
})

test("a fault that comes later leaves what was proven before as it was", async () => {
  await withFlushed(async (t, look) => {
    await look()
    const before = await proven(t)
    await t.stores
      .sql`update counter_accounts set debit_fen = debit_fen - 3 where kind = 'redemption'`
    expect(await look()).toEqual(["ALARM partition 0: drift of 3 fen, 0 records missing"])
    expect(await proven(t)).toEqual({ ...before, driftFen: 3 })
    await t.stores
      .sql`update counter_accounts set debit_fen = debit_fen + 3 where kind = 'redemption'`
    await look()
    expect(await proven(t)).toEqual(before)
  })
})

test("change records can be changed by nobody", async () => {
  await withFlushed(async ({ stores }) => {
    const change = stores.sql`update change_records set amount_fen = 1`
    expect(await failureOf(change)).toContain("append-only")
  })
})
