import type { Sql } from "../connection.ts"

/** Writes down why a partition's flusher stopped, or (null) that it goes on. */
export async function noteStop(
  sql: Sql,
  { partition, reason }: { partition: number; reason: string | null },
): Promise<void> {
  await sql`
    update partitions set stopped_because = ${reason}
    where partition = ${partition} and stopped_because is distinct from ${reason}
  `
}
