import type { Sql } from "../connection.ts"

/** Notes that a claimed generation runs in Redis; from then on a Redis without it has lost data. */
export async function markOpen(
  sql: Sql,
  { partition, generation }: { partition: number; generation: number },
): Promise<void> {
  await sql`
    update partitions set is_open = true
    where partition = ${partition} and generation = ${generation}
  `
}
