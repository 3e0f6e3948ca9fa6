import type { Sql } from "../connection.ts"

/** Raises the opening number, so that scripts loaded under an earlier one are never used again. */
export async function raiseOpening(sql: Sql): Promise<number> {
  const rows = await sql<{ opening: string }[]>`
    update ledger set opening = opening + 1 returning opening
  `
  return Number(rows[0]?.opening)
}
