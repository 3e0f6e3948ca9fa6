import type { Sql } from "../connection.ts"

/**
 * Claims the next generation of a partition, by compare-and-set. Callers may rely on: of several
 * that claim from the same one, one is told true; and what another has built before can not be
 * switched to any more.
 */
export async function claimGeneration(
  sql: Sql,
  { partition, from, claim }: { partition: number; from: number; claim: number },
): Promise<boolean> {
  const rows = await sql`
    update partitions set claimed = ${claim}
    where partition = ${partition} and claimed = ${from} and ${claim}::integer > claimed
    returning 1
  `
  return rows.length === 1
}
