import { expect } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import { metaKey } from "../../src/ledger/keys.ts"
import { decodeMeta } from "../../src/ledger/states.ts"
import type { TestLedger } from "./ledger.ts"

/** What tests of the flusher ask again and again. */

/** Charges 1 fen `count` times at once; all must be accepted. */
export async function chargeMany(
  t: TestLedger,
  accountId: AccountId,
  count: number,
): Promise<void> {
  const outcomes = await Promise.all(Array.from({ length: count }, () => t.pay(accountId, 1)))
  expect(outcomes.filter(({ status }) => status !== "accepted")).toEqual([])
}

/** Each record of the account that Redis has numbered is in Postgres once, and there are `least`. */
export async function expectAllRecords(
  { ledger, stores }: TestLedger,
  accountId: AccountId,
  { least }: { least: number },
): Promise<void> {
  const found = await ledger.readAccount(accountId)
  if (found.status !== "found") throw new Error(found.status)
  const rows = await stores.sql<{ seq: string }[]>`
    select seq from change_records where account_id = ${accountId} order by seq
  `
  expect(rows.map(({ seq }) => Number(seq))).toEqual(upTo(found.account.seq))
  expect(rows.length).toBeGreaterThanOrEqual(least)
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}

/** Entries that Redis has written, and those that Postgres has committed. */
export async function progress(
  { redis, stores }: TestLedger,
  partition = 0,
): Promise<{ written: number; flushed: number }> {
  const meta = await redis.getBuffer(metaKey(partition))
  const [row] = await stores.sql<{ number: string }[]>`
    select entry_number as number from partitions where partition = ${partition}
  `
  return { written: meta === null ? 0 : decodeMeta(meta).entryNumber, flushed: Number(row?.number) }
}

/** Everything that a flush writes, as text. */
export async function everythingFlushed({ stores }: TestLedger): Promise<string> {
  const rows = await stores.sql`
    select (select json_agg(p) from partitions p) as partitions,
      (select json_agg(r order by r.position) from change_records r) as records,
      (select json_agg(s order by s.account_id) from account_snapshots s) as snapshots,
      (select json_agg(u order by u.account_id, u.hour) from usage_hourly u) as usage,
      (select json_agg(c order by c.kind) from counter_accounts c) as counters,
      (select json_agg(i order by i.account_id, i.number) from instructions i) as instructions
  `
  return JSON.stringify(rows)
}

export function alarmsOf({ log }: TestLedger): string[] {
  return log.filter((line) => line.includes("ALARM"))
}
