import type { Sql } from "../connection.ts"

/** The role of the account with this e-mail (normalised); null where there is none. */
export async function findAccountRole(sql: Sql, email: string): Promise<string | null> {
  const rows = await sql<{ role: string }[]>`select role from accounts where email = ${email}`
  return rows[0]?.role ?? null
}
