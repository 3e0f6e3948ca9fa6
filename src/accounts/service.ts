import type { Sql } from "../../db/connection.ts"
import { hasInviteCode } from "../../db/queries/has-invite-code.ts"
import { loadAccount } from "../../db/queries/load-account.ts"
import { openAccount } from "../../db/queries/open-account.ts"
import { addressGroup } from "../http/address.ts"
import type { Attempts, TooMany } from "../http/attempts.ts"
import {
  type AccountId,
  hashCredential,
  newAccountId,
  newCredential,
  newId,
  newInviteCode,
} from "../ids.ts"
import type { Ledger } from "../ledger/ledger.ts"
import { REGISTRATION_WINDOW_MS, SESSION_TTL_MS } from "../limits.ts"
import type { Passwords } from "../passwords.ts"

export type Registration = {
  /** Normalised. */
  email: string
  password: string
  /** As typed; null where none was. */
  inviteCode: string | null
  address: string
}

export type RegisterOutcome =
  | { status: "registered"; accountId: AccountId; accessToken: string; expiresAt: Date }
  | { status: "email_taken" }
  | { status: "unknown_invite_code" }
  | { status: "busy" }
  | TooMany

export type AccountsDeps = {
  sql: Sql
  ledger: Pick<Ledger, "applyPending">
  attempts: Attempts
  passwords: Passwords
  registrationsPerHour: number
}

export function createAccounts(deps: AccountsDeps) {
  const { sql, ledger, attempts, passwords, registrationsPerHour } = deps
  const rule = { name: "registration", max: registrationsPerHour, windowMs: REGISTRATION_WINDOW_MS }

  /**
   * Opens an account and logs it in. Where the ledger is away the account exists all the same, and
   * the sweep opens it in Redis.
   */
  async function register(registration: Registration): Promise<RegisterOutcome> {
    const { email, password, inviteCode, address } = registration
    const attempt = await attempts.count(rule, addressGroup(address))
    if (attempt.status === "rate_limited") return attempt
    if (inviteCode !== null && !(await hasInviteCode(sql, inviteCode.trim().toLowerCase()))) {
      return { status: "unknown_invite_code" }
    }
    const turn = await passwords.inTurn(() => passwords.hash(password))
    if (turn.status === "busy") return turn

    const accountId = newAccountId()
    const accessToken = newCredential("fa", accountId)
    const opened = await openAccount(sql, {
      accountId,
      email,
      passwordHash: turn.value,
      role: "developer",
      inviteCode: newInviteCode(),
      session: {
        id: newId("ses"),
        tokenHash: hashCredential(accessToken),
        address,
        ttlMs: SESSION_TTL_MS,
      },
      audit: null,
    })
    if (opened.status === "email_taken") return opened
    await ledger.applyPending(accountId)
    const expiresAt = opened.expiresAt ?? new Date(Date.now() + SESSION_TTL_MS)
    return { status: "registered", accountId, accessToken, expiresAt }
  }

  return { register, read: (accountId: AccountId) => loadAccount(sql, accountId) }
}
