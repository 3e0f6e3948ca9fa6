import { expect, test } from "bun:test"
import { addUnpaid } from "../../db/queries/add-unpaid.ts"
import { readKeySpending } from "../../db/queries/read-key-spending.ts"
import { newAccountId } from "../../src/ids.ts"
import { withStores } from "../support/ledger.ts"
import type { Stores } from "../support/stores.ts"

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SHANGHAI_MS = 8 * HOUR_MS

type Row = { hourMs: number; amountFen: number }

async function insertUsage({ sql }: Stores, of: { accountId: string; keyId: string }, rows: Row[]) {
  for (const [place, { hourMs, amountFen }] of rows.entries()) {
    await sql`insert into usage_hourly (account_id, key_id, interface, hour, calls, amount_fen)
      values (${of.accountId}, ${of.keyId}, ${`i${place}`}, ${new Date(hourMs)}, 1, ${amountFen})`
  }
}

/** The day and the month of Shanghai, and when they began. */
function shanghai(ms: number) {
  const day = Math.floor((ms + SHANGHAI_MS) / DAY_MS)
  const local = new Date(ms + SHANGHAI_MS)
  const [year, month] = [local.getUTCFullYear(), local.getUTCMonth()]
  const monthMs = Date.UTC(year, month) - SHANGHAI_MS
  return { day, dayMs: day * DAY_MS - SHANGHAI_MS, month: year * 12 + month, monthMs }
}

test("a key's spending is of the day and the month of Asia/Shanghai, and ever", async () => {
  await withStores({}, async (stores) => {
    const accountId = newAccountId()
    const now = Date.now()
    const { dayMs, monthMs } = shanghai(now)
    const thisHour = now - (now % HOUR_MS)
    const hours = [thisHour, dayMs, dayMs - HOUR_MS, monthMs, monthMs - HOUR_MS, 0]
    const rows = hours.map((hourMs, place) => ({ hourMs, amountFen: 10 ** place }))
    await insertUsage(stores, { accountId, keyId: "key_a" }, rows)
    await insertUsage(stores, { accountId, keyId: "key_b" }, [{ hourMs: now, amountFen: 5 }])
    await insertUsage(stores, { accountId: newAccountId(), keyId: "key_a" }, rows)

    const asked = { accountId, keyId: "key_a", limitsVersion: 0 }
    const spending = await readKeySpending(stores.sql, asked)
    // Should midnight pass while this runs, the answer is of the day that it names.
    const named = [shanghai(now), shanghai(Date.now())].find(({ day }) => day === spending.day)
    if (named === undefined) throw new Error(`day ${spending.day} is not today`)
    const since = (ms: number) =>
      rows.reduce((sum, row) => sum + (row.hourMs >= ms ? row.amountFen : 0), 0)
    expect(spending).toEqual({
      isFlushed: true,
      day: named.day,
      month: named.month,
      dayFen: String(since(named.dayMs)),
      monthFen: String(since(named.monthMs)),
      totalFen: "111111",
    })
  })
})

test("a key that has spent nothing is seeded with nothing", async () => {
  await withStores({}, async ({ sql }) => {
    const asked = { accountId: newAccountId(), keyId: "key_a", limitsVersion: 0 }
    const none = { dayFen: "0", monthFen: "0", totalFen: "0" }
    expect(await readKeySpending(sql, asked)).toMatchObject({ isFlushed: true, ...none })
  })
})

test("the sums are whole once the flush has passed the limits' version, and not before", async () => {
  await withStores({}, async ({ sql }) => {
    const accountId = newAccountId()
    const isFlushed = async (limitsVersion: number) =>
      (await readKeySpending(sql, { accountId, keyId: "key_a", limitsVersion })).isFlushed
    expect(await isFlushed(1)).toBe(false)
    await sql`insert into account_snapshots
      (account_id, partition, balance_fen, last_seq, instruction_number, auth_version, status)
      values (${accountId}, 0, 0, 0, 3, 3, 'open')`
    expect(await Promise.all([0, 2, 3, 4].map(isFlushed))).toEqual([true, true, true, false])
  })
})

test("calls that cost nothing add up per hour, key and interface, from many gateways at once", async () => {
  await withStores({}, async ({ sql }) => {
    const row = { accountId: "acct_a", keyId: 'k"\\{', interface: "NULL", hourMs: HOUR_MS }
    const rows = [
      { ...row, refused: 1, failed: 0 },
      { ...row, refused: 2, failed: 5 },
      { ...row, hourMs: 2 * HOUR_MS, refused: 7, failed: 0 },
    ]
    await addUnpaid(sql, [])
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => addUnpaid(sql, i % 2 === 0 ? rows : rows.toReversed())),
    )
    const found = await sql`
      select account_id, key_id, interface, hour, refused::integer, failed::integer
      from usage_unpaid order by hour`
    const [account_id, key_id] = [row.accountId, row.keyId]
    expect([...found]).toEqual([
      { account_id, key_id, interface: "NULL", hour: new Date(HOUR_MS), refused: 30, failed: 50 },
      {
        account_id,
        key_id,
        interface: "NULL",
        hour: new Date(2 * HOUR_MS),
        refused: 70,
        failed: 0,
      },
    ])
  })
})
