import type { Sql } from "../connection.ts"

/** Makes a session. Callers may rely on: Postgres's clock sets its end, and also checks it. */
export async function openSession(
  sql: Sql,
  session: { id: string; accountId: string; tokenHash: string; address: string; ttlMs: number },
): Promise<{ expiresAt: Date }> {
  const { id, accountId, tokenHash, address, ttlMs } = session
  const [row] = await sql<{ expiresAt: Date }[]>`
    insert into sessions (id, account_id, token_hash, address, expires_at)
    values (${id}, ${accountId}, ${tokenHash}, ${address},
      now() + ${ttlMs}::bigint * interval '1 millisecond')
    returning expires_at as "expiresAt"
  `
  if (row === undefined) throw new Error("an insert returned no row")
  return row
}
