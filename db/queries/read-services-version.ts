import type { Sql } from "../connection.ts"

/** The version of the service keys: whatever disables or deletes one raises it. */
export async function readServicesVersion(sql: Sql): Promise<number> {
  const [row] = await sql<{ version: number }[]>`select services_version as version from ledger`
  if (row === undefined) throw new Error("broken invariant: the ledger was never opened")
  return row.version
}
