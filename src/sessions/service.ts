import type { Sql } from "../../db/connection.ts"
import { endSession } from "../../db/queries/end-session.ts"
import { findLogin } from "../../db/queries/find-login.ts"
import { listSessions } from "../../db/queries/list-sessions.ts"
import { openSession } from "../../db/queries/open-session.ts"
import { addressGroup } from "../http/address.ts"
import type { AttemptOutcome, AttemptRule, Attempts, TooMany } from "../http/attempts.ts"
import { type AccountId, hashCredential, newCredential, newId, parseAccountId } from "../ids.ts"
import {
  FAILED_ATTEMPTS_ADDRESS_MAX,
  FAILED_ATTEMPTS_MAX,
  FAILED_ATTEMPTS_WINDOW_MS,
  SESSION_TTL_MS,
} from "../limits.ts"
import type { Passwords } from "../passwords.ts"

/** `email` is normalised. */
export type Login = { email: string; password: string; address: string }

export type LoginOutcome =
  | { status: "logged_in"; accountId: AccountId; accessToken: string; expiresAt: Date }
  | { status: "wrong_password" }
  | TooMany

export type SessionsDeps = { sql: Sql; attempts: Attempts; passwords: Passwords }

const WINDOW = { windowMs: FAILED_ATTEMPTS_WINDOW_MS }
const PER_EMAIL: AttemptRule = { ...WINDOW, name: "login", max: FAILED_ATTEMPTS_MAX }
const PER_ADDRESS: AttemptRule = {
  ...WINDOW,
  name: "login_address",
  max: FAILED_ATTEMPTS_ADDRESS_MAX,
}

export function createSessions({ sql, attempts, passwords }: SessionsDeps) {
  /**
   * Verifies a password and makes a session. Counted and verified in one turn: many guesses at
   * once are guesses one after the other. Only failures count, and a success clears the e-mail's.
   */
  function logIn(login: Login) {
    return passwords.inTurn(() => logInNow(login))
  }

  async function logInNow({ email, password, address }: Login): Promise<LoginOutcome> {
    const barred = (await refusalOf("check", email, address)) ?? null
    if (barred !== null) return barred
    const found = await findLogin(sql, email)
    const isMatch = await passwords.matches(password, found?.passwordHash ?? null)
    if (found === null || !isMatch) {
      return (await refusalOf("count", email, address)) ?? { status: "wrong_password" }
    }
    await attempts.forget(PER_EMAIL, email)
    const accountId = parseAccountId(found.accountId)
    const accessToken = newCredential("fa", accountId)
    const { expiresAt } = await openSession(sql, {
      id: newId("ses"),
      accountId,
      tokenHash: hashCredential(accessToken),
      address,
      ttlMs: SESSION_TTL_MS,
    })
    return { status: "logged_in", accountId, accessToken, expiresAt }
  }

  async function refusalOf(step: "check" | "count", email: string, address: string) {
    const outcomes: AttemptOutcome[] = [
      await attempts[step](PER_EMAIL, email),
      await attempts[step](PER_ADDRESS, addressGroup(address)),
    ]
    return outcomes.find((outcome) => outcome.status === "rate_limited")
  }

  return {
    logIn,
    list: (page: Parameters<typeof listSessions>[1]) => listSessions(sql, page),
    end: (session: { accountId: AccountId; id: string }) => endSession(sql, session),
  }
}
