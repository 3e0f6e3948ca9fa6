import type { Sql } from "../connection.ts"

export type LoadedSession = {
  sessionId: string
  tokenHash: string
  accountId: string
  email: string
  role: string
}

/**
 * The session of an access token that has not expired, and its account.
 * Callers may rely on: expiry is decided by Postgres's clock, which also set it.
 */
export async function loadSession(sql: Sql, tokenHash: string): Promise<LoadedSession | null> {
  const rows = await sql<LoadedSession[]>`
    select s.id as "sessionId", s.token_hash as "tokenHash", a.id as "accountId", a.email, a.role
    from sessions s join accounts a on a.id = s.account_id
    where s.token_hash = ${tokenHash} and s.expires_at > now()
  `
  return rows[0] ?? null
}
