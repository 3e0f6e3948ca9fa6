import type { Sql } from "../connection.ts"

/** What the last proof of each partition found the books to be out by, in all, in fen. */
export async function readDrift(sql: Sql): Promise<number> {
  const rows = await sql<{ drift: string }[]>`
    select coalesce(sum(drift_fen), 0) as drift from reconciliation
  `
  return Number(rows[0]?.drift ?? 0)
}
