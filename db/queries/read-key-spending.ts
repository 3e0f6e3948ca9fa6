import type { Sql } from "../connection.ts"

export type KeySpending = {
  /** Postgres has every charge that the key made before it had limits. */
  isFlushed: boolean
  /** Days since 1970-01-01, and months since year 0, in Asia/Shanghai. */
  day: number
  month: number
  /** Of this day, of this month and ever. */
  dayFen: string
  monthFen: string
  totalFen: string
}

/**
 * What an API key has spent, as far as Postgres has it. Callers may rely on: sums and `isFlushed`
 * are of one moment. The flusher writes in order: once the snapshot has the auth version with which
 * the key came to have limits, every charge from before is in the sums; and none from after, while
 * the script refuses the key for want of a counter.
 *
 * Shanghai is 8 whole hours ahead of UTC all year, so that its days and months are whole hours too.
 */
export async function readKeySpending(
  sql: Sql,
  asked: { accountId: string; keyId: string; limitsVersion: number },
): Promise<KeySpending> {
  const { accountId, keyId, limitsVersion } = asked
  const [row] = await sql<KeySpending[]>`
    with shanghai as (
      select now() at time zone 'UTC' + interval '8 hours' as time
    ), began as (
      select time,
        (date_trunc('day', time) - interval '8 hours') at time zone 'UTC' as day,
        (date_trunc('month', time) - interval '8 hours') at time zone 'UTC' as month
      from shanghai
    ), spent as (
      select coalesce(sum(u.amount_fen) filter (where u.hour >= began.day), 0)::bigint as day_fen,
        coalesce(sum(u.amount_fen) filter (where u.hour >= began.month), 0)::bigint as month_fen,
        coalesce(sum(u.amount_fen), 0)::bigint as total_fen
      from began left join usage_hourly u on u.account_id = ${accountId} and u.key_id = ${keyId}
    )
    select ${limitsVersion}::integer = 0 or exists (
        select 1 from account_snapshots s
        where s.account_id = ${accountId} and s.auth_version >= ${limitsVersion}::integer
      ) as "isFlushed",
      began.time::date - date '1970-01-01' as day,
      (extract(year from began.time) * 12 + extract(month from began.time) - 1)::integer as month,
      spent.day_fen as "dayFen", spent.month_fen as "monthFen", spent.total_fen as "totalFen"
    from began, spent
  `
  if (row === undefined) throw new Error("the statement answers one row, always")
  return row
}
