import type { AccountId } from "../ids.ts"
import type { ApplyOutcome } from "../ledger/instructions.ts"
import type { AccountState, ReadOutcome } from "../ledger/ledger.ts"
import type { Payer } from "./authenticate.ts"
import { type Claim, type Decision, type DecideSteps, decide, type Stale } from "./decide.ts"

export type Read = { status: "found"; account: AccountState }
export type ReadRefused = { status: "unavailable" } | { status: "key_expired"; rate: null }

export type BalanceSteps = DecideSteps & {
  readAccount(accountId: AccountId): Promise<ReadOutcome>
}

/** The balance of whoever pays with this claim, as Redis has it now. */
export function handleBalance(
  claim: Claim,
  steps: BalanceSteps,
): Promise<Decision<Read | ReadRefused>> {
  return decide<Read | ReadRefused>(claim, steps, (payer) => readFresh(payer, steps))
}

/**
 * The account of a payer, its credential compared as the script compares it for a charge: a revoked
 * key reads nothing, and resolves no hold.
 */
export async function readFresh(
  payer: Payer,
  { readAccount }: Pick<BalanceSteps, "readAccount">,
): Promise<Read | ReadRefused | Stale> {
  const expiresAtMs = payer.limits?.expiresAtMs ?? Number.POSITIVE_INFINITY
  if (Date.now() >= expiresAtMs) return { status: "key_expired", rate: null }
  const outcome = await readAccount(payer.accountId)
  if (outcome.status === "unavailable") return outcome
  if (outcome.status === "unknown") return { status: "account_unknown", rate: null }
  const { account, servicesVersion } = outcome
  if (payer.servicesVersion !== null && payer.servicesVersion !== servicesVersion) {
    return { status: "service_changed", rate: null }
  }
  if (payer.authVersion !== null && payer.authVersion !== account.authVersion) {
    return { status: "auth_changed", authVersion: account.authVersion, rate: null }
  }
  return { status: "found", account }
}

/** An account that was made while Redis was away is opened by whoever asks for it first. */
export async function readOrOpen(
  accountId: AccountId,
  steps: {
    readAccount(accountId: AccountId): Promise<ReadOutcome>
    applyPending(accountId: AccountId): Promise<ApplyOutcome>
  },
): Promise<Read | { status: "unavailable" }> {
  const outcome = await steps.readAccount(accountId)
  if (outcome.status !== "unknown") return outcome
  const opened = await steps.applyPending(accountId)
  return opened.status === "applied" ? { status: "found", account: opened.account } : opened
}
