import type { Sql } from "../connection.ts"

/**
 * Deletes what is kept of requests with an Idempotency-Key in one partition for longer than `ttlMs`, the
 * oldest first, and at most `limit` of them. Callers may rely on: fewer than `limit` says that none is left.
 */
export async function forgetResults(
  sql: Sql,
  { partition, ttlMs, limit }: { partition: number; ttlMs: number; limit: number },
): Promise<number> {
  const { count } = await sql`
    with over as (
      select account_id, seq from idempotency_results
      where partition = ${partition} and at < now() - ${ttlMs} * interval '1 millisecond'
      order by at limit ${limit}
    )
    delete from idempotency_results i using over
    where i.account_id = over.account_id and i.seq = over.seq
  `
  return count
}
