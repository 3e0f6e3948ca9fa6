import type { Sql } from "../connection.ts"

/** Why a partition's flusher was stopped; null: it may go on. */
export async function readStop(sql: Sql, partition: number): Promise<string | null> {
  const [row] = await sql<{ reason: string | null }[]>`
    select stopped_because as reason from partitions where partition = ${partition}
  `
  return row?.reason ?? null
}
