import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

export type NewAccount = {
  accountId: string
  /** Normalised. */
  email: string
  passwordHash: string
  role: "developer" | "admin"
  inviteCode: string
  session: { id: string; tokenHash: string; address: string; ttlMs: number } | null
  /** Written where the account is made by an act that must be audited. */
  audit: AuditRow | null
}

/** `expiresAt` is the session's; null without one. */
export type OpenAccountOutcome =
  | { status: "opened"; expiresAt: Date | null }
  | { status: "email_taken" }

/**
 * Makes an account, its instruction number 1 (which opens it in Redis, and brings the random key under
 * which its records are hashed: src/flusher/chain.ts), and a first session.
 * Callers may rely on: all or nothing, in one statement; of two with one e-mail, one is made.
 */
export async function openAccount(sql: Sql, account: NewAccount): Promise<OpenAccountOutcome> {
  const { accountId, email, passwordHash, role, inviteCode, session, audit } = account
  const [row] = await sql<{ expiresAt: Date | null }[]>`
    with opened as (
      insert into accounts (id, email, password_hash, role, invite_code)
      values (${accountId}, ${email}, ${passwordHash}, ${role}, ${inviteCode})
      on conflict (email) do nothing
      returning id
    ), instructed as (
      insert into instructions (account_id, number, kind, auth_version, description)
      select id, 1, 'open', 1, replace(gen_random_uuid()::text, '-', '') from opened
    ), logged_in as (
      insert into sessions (id, account_id, token_hash, address, expires_at)
      select ${session?.id ?? null}::text, id, ${session?.tokenHash ?? null}::text,
        ${session?.address ?? null}::text,
        now() + ${session?.ttlMs ?? 0}::bigint * interval '1 millisecond'
      from opened where ${session !== null}::boolean
      returning expires_at
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit?.id ?? null}::text, ${audit?.actor ?? null}::text,
        ${audit?.action ?? null}::text, id, ${audit?.details ?? null}::text::jsonb,
        ${audit?.requestId ?? null}::text,
        ${audit?.address ?? null}::text
      from opened where ${audit !== null}::boolean
    )
    select (select expires_at from logged_in) as "expiresAt" from opened
  `
  return row === undefined
    ? { status: "email_taken" }
    : { status: "opened", expiresAt: row.expiresAt }
}
