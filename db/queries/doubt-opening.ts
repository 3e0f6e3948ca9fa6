import type { Sql } from "../connection.ts"

/**
 * Tells the keeper that a partition's node does not have what it had under this very opening: it is verified
 * and opened anew. Callers may rely on: where it was opened anew meanwhile, nothing happens.
 */
export async function doubtOpening(
  sql: Sql,
  { partition, opening }: { partition: number; opening: number },
): Promise<void> {
  await sql`
    update partitions set opening = 0 where partition = ${partition} and opening = ${opening}
  `
}
