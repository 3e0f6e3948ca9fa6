import type { Sql } from "../connection.ts"
import type { AccountRange } from "../range.ts"

export type WrongUsage = {
  accountId: string
  keyId: string
  interface: string
  hour: string
  calls: number
  recordsCalls: number
  amountFen: number
  recordsFen: number
}

/**
 * Callers may rely on: of the accounts of the page, an hour of a key and an interface that is not
 * answered has in the roll-up the calls and the fen of its charges and captures, less those that a
 * revoke took back. Any other reversal takes nothing from it: it names no key.
 */
export async function auditUsage(
  sql: Sql,
  { after, through }: AccountRange,
): Promise<WrongUsage[]> {
  return await sql<WrongUsage[]>`
    with moved as (
      select account_id, key_id, interface, at, coalesce(quantity, 1) as calls, amount_fen as amount
      from change_records
      where account_id > ${after} and account_id <= ${through} and kind in ('charge', 'capture')
      union all
      select r.account_id, r.key_id, r.interface, c.at, -coalesce(r.quantity, 1), -r.amount_fen
      from change_records r
      join change_records c on c.account_id = r.account_id
        and c.seq = split_part(r.source_id, '_', 4)::bigint
      where r.account_id > ${after} and r.account_id <= ${through}
        and r.kind = 'reversal' and r.key_id is not null
    ), charged as (
      select account_id, coalesce(key_id, '') as key_id, coalesce(interface, '') as interface,
        date_trunc('hour', at, 'UTC') as hour, sum(calls) as calls, sum(amount) as amount
      from moved group by 1, 2, 3, 4
    ), rolled_up as (
      select account_id, key_id, interface, hour, calls, amount_fen from usage_hourly
      where account_id > ${after} and account_id <= ${through}
    )
    select account_id as "accountId", key_id as "keyId", interface, hour::text as hour,
      coalesce(u.calls, 0)::float8 as calls, coalesce(c.calls, 0)::float8 as "recordsCalls",
      coalesce(u.amount_fen, 0)::float8 as "amountFen", coalesce(c.amount, 0)::float8 as "recordsFen"
    from rolled_up u full join charged c using (account_id, key_id, interface, hour)
    where coalesce(u.calls, 0) <> coalesce(c.calls, 0)
      or coalesce(u.amount_fen, 0) <> coalesce(c.amount, 0)
  `
}
