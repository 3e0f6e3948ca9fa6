import type { Outgoing } from "../http/problem.ts"
import type { AccountId } from "../ids.ts"
import type { ApplyOutcome } from "../ledger/instructions.ts"
import type { AccountState, ReadOutcome } from "../ledger/ledger.ts"
import { availableCalls, formatCny } from "../money.ts"
import { viewAvailable } from "./answer.ts"
import type { Payer } from "./authenticate.ts"
import type { CallDeps, CallSteps } from "./call.ts"
import { type Claim, type Decision, decide, type Stale } from "./decide.ts"
import type { Refusal } from "./refusals.ts"
import { tellRate } from "./refuse.ts"
import type { ReadTokenBalance } from "./token-balance.ts"

export type Read = { status: "found"; account: AccountState }
export type ReadRefused = { status: "unavailable" } | { status: "key_expired"; rate: null }

type BalanceQuery = { interface?: string; accountId?: string }
type Incoming = { request: Request; query: BalanceQuery; set: Outgoing }

/** `GET /v1/balance`. */
export function createBalance({
  steps,
  refuser,
  readTokenBalance,
}: CallDeps & { readTokenBalance: ReadTokenBalance }) {
  return async function balance({ request, query, set }: Incoming): Promise<unknown> {
    const { payer, outcome } = await read(request, query)
    if (payer !== null) tellRate(set.headers, payer, null)
    if (outcome.status !== "found") return refuser.refuse(outcome, { payer, amountFen: 0 }, set)
    const price = query.interface === undefined ? 1 : await priceOf(query.interface)
    if (price !== null) return viewBalance(outcome.account, price)
    const unknown = { status: "unknown_interface", interface: query.interface ?? "" } as const
    return refuser.refuse(unknown, { payer, amountFen: 0 }, set)
  }

  async function read(
    request: Request,
    { accountId }: BalanceQuery,
  ): Promise<{ payer: Payer | null; outcome: Read | Refusal }> {
    const outcome = await readTokenBalance(request)
    if (outcome.status !== "not_a_token") {
      const isNamed = accountId !== undefined
      return { payer: null, outcome: isNamed ? UNWANTED : outcome }
    }
    return await handleBalance(
      { request, named: accountId === undefined ? {} : { accountId } },
      steps,
    )
  }

  async function priceOf(interfaceId: string): Promise<number | null> {
    const price = steps.prices.priceOf(interfaceId)
    if (price !== null) return price
    await steps.prices.lookAgain()
    return steps.prices.priceOf(interfaceId)
  }
}

const UNWANTED = { status: "field_unwanted", path: "/accountId" } as const

function viewBalance(account: AccountState, price: number) {
  const { balanceFen, heldFen, seq } = account
  return {
    balanceFen,
    balance: formatCny(balanceFen),
    heldFen,
    held: formatCny(heldFen),
    ...viewAvailable(account),
    availableCalls: availableCalls({ available: balanceFen - heldFen, price }),
    rewardFen: 0,
    reward: formatCny(0),
    earningsFen: 0,
    earnings: formatCny(0),
    grants: [],
    seq,
  }
}

/** The balance of whoever pays with this claim, as Redis has it now. */
function handleBalance(claim: Claim, steps: CallSteps): Promise<Decision<Read | ReadRefused>> {
  return decide<Read | ReadRefused>(claim, steps, (payer) => readFresh(payer, steps))
}

/**
 * The account of a payer, its credential compared as the script compares it for a charge: a revoked
 * key reads nothing, and resolves no hold.
 */
export async function readFresh(
  payer: Payer,
  { readAccount }: Pick<CallSteps, "readAccount">,
): Promise<Read | ReadRefused | Stale> {
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
  const expiresAtMs = payer.limits?.expiresAtMs ?? Number.POSITIVE_INFINITY
  return Date.now() >= expiresAtMs
    ? { status: "key_expired", rate: null }
    : { status: "found", account }
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
