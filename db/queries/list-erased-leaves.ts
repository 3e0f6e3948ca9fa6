import type { Sql } from "../connection.ts"

/** What the chain keeps of the records that were erased between two positions, in their order. */
export async function listErasedLeaves(
  sql: Sql,
  { partition, after, through }: { partition: number; after: number; through: number },
): Promise<{ position: number; leaf: string }[]> {
  return await sql<{ position: number; leaf: string }[]>`
    select position::float8 as position, leaf from erased_leaves
    where partition = ${partition} and position > ${after} and position <= ${through}
    order by position
  `
}
