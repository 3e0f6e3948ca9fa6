import type { Sql } from "../connection.ts"

/**
 * The charges of a partition that a revoke took back, and that an instruction which is not flushed yet
 * wants to take back too: applied to a Redis that does not know, it would give the amount back twice.
 */
export async function listReversed(sql: Sql, partition: number): Promise<string[]> {
  const rows = await sql<{ sourceId: string }[]>`
    select distinct r.source_id as "sourceId"
    from instructions i
    join account_snapshots s on s.account_id = i.account_id and s.partition = ${partition}
    join change_records r on r.kind = 'reversal' and r.source_id = i.source_id
    where not i.flushed and i.kind = 'reversal'
  `
  return rows.map(({ sourceId }) => sourceId)
}
