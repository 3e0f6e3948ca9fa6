import type { Sql } from "../connection.ts"

/**
 * Notes that Postgres lacks records which Redis still has; until it has them nothing is instructed. The
 * opening numbers that were given since are passed over: no node may ever get one of them again.
 */
export async function setRefilling(sql: Sql, partition: number): Promise<void> {
  await sql`
    with noted as (
      update partitions set is_refilling = true
      where partition = ${partition} and not is_refilling
      returning 1
    )
    update ledger set opening = opening + 1000000 where exists (select 1 from noted)
  `
}
