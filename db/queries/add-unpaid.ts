import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

export type UnpaidRow = {
  accountId: string
  keyId: string
  interface: string
  /** The beginning of the hour. */
  hourMs: number
  refused: number
  failed: number
}

/**
 * Adds calls that cost nothing to the counts of their hours, in one statement. Callers may rely on:
 * all of it or none; rows of one hour, key and interface may be given more than once. They are
 * locked in one order, so that two gateways never wait for each other.
 */
export async function addUnpaid(sql: Sql, rows: readonly UnpaidRow[]): Promise<void> {
  await sql`
    insert into usage_unpaid as n (account_id, hour, key_id, interface, refused, failed)
    select u.account_id, timestamptz 'epoch' + u.hour_ms * interval '1 millisecond', u.key_id,
      u.interface, sum(u.refused), sum(u.failed)
    from unnest(
      ${arrayText(rows.map((row) => row.accountId))}::text::text[],
      ${arrayText(rows.map((row) => row.keyId))}::text::text[],
      ${arrayText(rows.map((row) => row.interface))}::text::text[],
      ${arrayText(rows.map((row) => row.hourMs))}::text::bigint[],
      ${arrayText(rows.map((row) => row.refused))}::text::bigint[],
      ${arrayText(rows.map((row) => row.failed))}::text::bigint[]
    ) as u(account_id, key_id, interface, hour_ms, refused, failed)
    group by 1, 2, 3, 4
    order by 1, 2, 3, 4
    on conflict (account_id, hour, key_id, interface) do update
    set refused = n.refused + excluded.refused, failed = n.failed + excluded.failed
  `
}
