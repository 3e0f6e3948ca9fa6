import type { AccountId } from "../ids.ts"
import type { ApplyOutcome } from "../ledger/instructions.ts"
import type { AccountState, ReadOutcome } from "../ledger/ledger.ts"
import { AUTH_RELOADS_MAX } from "../limits.ts"
import { type Authenticator, readApiKey, type Verification } from "./authenticate.ts"

export type BalanceAnswer =
  | { status: "found"; account: AccountState }
  | Exclude<Verification, { status: "verified" }>

export type BalanceSteps = {
  authenticator: Authenticator
  readAccount(accountId: AccountId): Promise<ReadOutcome>
  applyPending(accountId: AccountId): Promise<ApplyOutcome>
}

/**
 * The balance of an API key's account, as Redis has it now. The auth version is compared here as the
 * script compares it for a charge, so that a revoked key reads nothing either.
 */
export async function handleBalance(headers: Headers, steps: BalanceSteps): Promise<BalanceAnswer> {
  let verification = await steps.authenticator.verify(headers)
  for (let reloads = 0; ; reloads++) {
    if (verification.status !== "verified") return verification
    const { key } = verification
    const outcome = await readOrOpen(key.accountId, steps)
    if (outcome.status !== "found") return { status: "unavailable" }
    if (outcome.account.authVersion === key.authVersion) return outcome
    if (reloads === AUTH_RELOADS_MAX) return { status: "unavailable" }
    verification = await steps.authenticator.reload(readApiKey(headers) ?? "")
    await steps.applyPending(key.accountId)
  }
}

/** An account that was made while Redis was away is opened by whoever asks for it first. */
export async function readOrOpen(
  accountId: AccountId,
  steps: Pick<BalanceSteps, "readAccount" | "applyPending">,
): Promise<ReadOutcome> {
  const outcome = await steps.readAccount(accountId)
  if (outcome.status !== "unknown") return outcome
  const opened = await steps.applyPending(accountId)
  return opened.status === "applied" ? { status: "found", account: opened.account } : opened
}
