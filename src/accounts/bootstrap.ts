import { connectSql, type Sql } from "../../db/connection.ts"
import { findAccountRole } from "../../db/queries/find-account-role.ts"
import { hasAdmin } from "../../db/queries/has-admin.ts"
import { openAccount } from "../../db/queries/open-account.ts"
import { promoteAccount } from "../../db/queries/promote-account.ts"
import { offerTrialCode, withdrawTrialCode } from "../../db/queries/set-trial-code.ts"
import { auditOf, SYSTEM } from "../audit.ts"
import type { Config } from "../config.ts"
import { normalizeEmail } from "../http/credentials.ts"
import { newAccountId, newId, newInviteCode, randomChars } from "../ids.ts"
import { createPasswords } from "../passwords.ts"

type Admin = { email: string; password: string }

export type BootstrapOptions = {
  databaseUrl: string
  admin: Config["admin"]
  /** Whether the program runs its own stores. */
  embedded: boolean
  /** Whether it listens on loopback only. */
  loopback: boolean
}

const DEFAULT_ADMIN_EMAIL = "admin@fengate.local"
const PASSWORD_CHARS = 20
const TRIAL_CODE = "XUNAN666"
const TRIAL_FEN = 1_000

/**
 * Sees to it that the installation has its first administrator and, on a local trial, its
 * redemption code (PRODUCT, "Billing"). May be run at every start: what is there stays as it is.
 * Answers the administrator that it made with a password of its own, to be shown once.
 */
export async function bootstrap({
  databaseUrl,
  admin,
  embedded,
  loopback,
}: BootstrapOptions): Promise<{ madeAdmin: Admin | null }> {
  const sql = connectSql(databaseUrl, { max: 1, applicationName: "fengate bootstrap" })
  try {
    if (admin !== null) await ensureAdmin(sql, admin)
    const madeAdmin = admin === null && embedded ? await makeFirstAdmin(sql) : null
    await setTrialCode(sql, embedded && loopback)
    return { madeAdmin }
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** The configured password counts when the account is made; afterwards its owner may change it. */
async function ensureAdmin(sql: Sql, { email: given, password }: Admin): Promise<void> {
  const email = normalizeEmail(given)
  const role = await findAccountRole(sql, email)
  if (role === "admin") return
  if (role === null && (await makeAdmin(sql, { email, password }))) return
  const audit = auditOf(SYSTEM, "account.promoted", { reason: "ADMIN_EMAIL names it" })
  await promoteAccount(sql, { email, audit })
}

async function makeFirstAdmin(sql: Sql): Promise<Admin | null> {
  if (await hasAdmin(sql)) return null
  const admin = { email: DEFAULT_ADMIN_EMAIL, password: randomChars(PASSWORD_CHARS) }
  return (await makeAdmin(sql, admin)) ? admin : null
}

async function makeAdmin(sql: Sql, { email, password }: Admin): Promise<boolean> {
  const { status } = await openAccount(sql, {
    accountId: newAccountId(),
    email,
    passwordHash: await createPasswords().hash(password),
    role: "admin",
    inviteCode: newInviteCode(),
    session: null,
    audit: auditOf(SYSTEM, "account.created", { role: "admin" }),
  })
  return status === "opened"
}

async function setTrialCode(sql: Sql, isOffered: boolean): Promise<void> {
  if (isOffered) {
    const note = "For trying an installation on this machine"
    const made = { id: newId("code"), code: TRIAL_CODE, amountFen: TRIAL_FEN, note }
    const reason = "an installation on loopback with its own stores"
    await offerTrialCode(sql, made, auditOf(SYSTEM, "redemption_code.created", { reason }))
  } else {
    const reason = "the installation does not run on loopback with its own stores any more"
    await withdrawTrialCode(
      sql,
      TRIAL_CODE,
      auditOf(SYSTEM, "redemption_code.disabled", { reason }),
    )
  }
}
