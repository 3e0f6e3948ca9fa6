import type { Sql } from "../connection.ts"

/** Notes that a note was looked at; one that has risen since is looked at again. */
export async function handleLoss(
  sql: Sql,
  loss: { partition: number; generation: number; opening: number; entryNumber: number },
): Promise<void> {
  const { partition, generation, opening, entryNumber } = loss
  await sql`
    update losses set handled = true
    where partition = ${partition} and generation = ${generation} and opening = ${opening}
      and entry_number = ${entryNumber}
  `
}
