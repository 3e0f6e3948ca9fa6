import { expect, setDefaultTimeout, test } from "bun:test"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"

setDefaultTimeout(60_000)

/** The counter-accounts of the platform: posted with the records, in the same flush. */

const SAMPLES = 60

test("the trial balance is zero at every moment, in total and by kind, while money moves in every way", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    const accounts = await Promise.all(
      [0, 1].map((partition) => t.openAccount({ balanceFen: 100_000, partition })),
    )
    let isOver = false
    const moving = Promise.all(
      accounts.map(async (accountId) => {
        while (!isOver) {
          await t.pay(accountId, 3)
          const item = chargeOf({ accountId, amountFen: fen(5) })
          const held = await t.ledger.hold({ ...item, ttlMs: 60_000, isInternal: false })
          if (held.status === "held") {
            const { holdId } = held
            await t.ledger.capture({ holdId, amountFen: fen(2), idempotency: null })
          }
          await t.instruct(accountId, { kind: "redemption", amountFen: 7 })
          await t.ledger.applyPending(accountId)
        }
      }),
    )
    const seen = new Set<string>()
    await eventually(
      async () => {
        const { total, wrong, records } = await look(t)
        expect({ total, wrong }).toEqual({ total: "0", wrong: [] })
        seen.add(records)
        return seen.size >= SAMPLES
      },
      { timeoutMs: 40_000 },
    ).finally(() => {
      isOver = true
    })
    await moving
    await t.books()
    const { total, kinds } = await look(t)
    expect(total).toBe("0")
    expect(kinds).toEqual(["capture", "charge", "redemption"])
  })
})

type Look = { total: string; records: string; wrong: string[]; kinds: string[] }

/** One statement sees one moment: counter-accounts, balances, and the records by kind. */
async function look({ stores: { sql } }: TestLedger): Promise<Look> {
  const [row] = await sql<Look[]>`
    with counters as (
      select kind, sum(credit_fen - debit_fen) as fen from counter_accounts group by kind
    ), records as (
      select kind, sum(case when type = 2 then amount_fen else -amount_fen end) as fen, count(*)
      from change_records group by kind
    )
    select (select coalesce(sum(credit_fen - debit_fen), 0)::text from reporting.trial_balance) as total,
      (select coalesce(sum(count), 0)::text from records) as records,
      (select coalesce(json_agg(kind), '[]') from counters c full join records r using (kind)
        where c.fen is distinct from r.fen) as wrong,
      (select coalesce(json_agg(kind order by kind), '[]') from counters) as kinds
  `
  if (row === undefined) throw new Error("no answer")
  return row
}
