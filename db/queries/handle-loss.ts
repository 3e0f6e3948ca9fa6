import type { Sql } from "../connection.ts"
import type { SeenBefore } from "./list-losses.ts"

/** Notes that a note was looked at; one that has risen since is looked at again. */
export async function handleLoss(
  sql: Sql,
  loss: Pick<SeenBefore, "partition" | "generation" | "opening" | "seenOpening" | "entryNumber">,
): Promise<void> {
  const { partition, generation, opening, seenOpening, entryNumber } = loss
  await sql`
    update losses set handled = true
    where partition = ${partition} and generation = ${generation} and opening = ${opening}
      and seen_opening = ${seenOpening} and entry_number = ${entryNumber}
  `
}
