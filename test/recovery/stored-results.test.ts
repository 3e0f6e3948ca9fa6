import { expect, setDefaultTimeout, test } from "bun:test"
import { listStoredResults } from "../../db/queries/list-stored-results.ts"
import { withStores } from "../support/ledger.ts"

setDefaultTimeout(30_000)

const [RESULTS, OF_ONE_MOMENT, PAGE, DAY_MS] = [700, 7, 100, 86_400_000]

test("a rebuild gets each result of its partition once, also where a page ends within one moment", async () => {
  await withStores({}, async ({ sql }) => {
    await sql`
      insert into change_records (account_id, seq, type, kind, amount_fen, balance_before_fen,
        balance_after_fen, description, at, partition, position)
      select 'acct_' || n % 3, n, 2, 'charge', 1, 2, 1, '',
        date_trunc('milliseconds', now()) - n / ${OF_ONE_MOMENT}::integer * interval '1 millisecond',
        n % 2, n
      from generate_series(1, ${2 * RESULTS}::integer) n
    `
    await sql`
      insert into idempotency_results (account_id, seq, partition, at, digest, fingerprint, held_fen)
      select account_id, seq, partition, at, seq, '', 0 from change_records
    `
    const seen: string[] = []
    let after = { atMs: 0, accountId: "", seq: "0" }
    for (;;) {
      const asked = { partition: 1, after, ttlMs: DAY_MS, limit: PAGE }
      const page = await listStoredResults(sql, asked)
      const last = page.at(-1)
      if (last === undefined) break
      seen.push(...page.map(({ digest }) => digest))
      after = { atMs: last.atMs, accountId: last.accountId, seq: last.seq }
    }
    expect(seen).toHaveLength(RESULTS)
    expect(new Set(seen).size).toBe(RESULTS)
    expect(seen.every((seq) => Number(seq) % 2 === 1)).toBe(true)
  })
})
