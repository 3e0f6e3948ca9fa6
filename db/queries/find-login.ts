import type { Sql } from "../connection.ts"

/** The account of an e-mail (normalised), for a login; null where there is none. */
export async function findLogin(
  sql: Sql,
  email: string,
): Promise<{ accountId: string; passwordHash: string } | null> {
  const rows = await sql<{ accountId: string; passwordHash: string }[]>`
    select id as "accountId", password_hash as "passwordHash" from accounts where email = ${email}
  `
  return rows[0] ?? null
}
