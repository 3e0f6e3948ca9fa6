import type { Sql } from "../connection.ts"

/** Makes the partition of change records for the month of `atMs`. Harmless where it exists. */
export async function ensureMonth(sql: Sql, atMs: number): Promise<void> {
  await sql`select ensure_month(${new Date(atMs).toISOString()}::timestamptz)`
}
