import type { Charged, ChargeOutcome } from "../ledger/items.ts"
import type { Payer } from "./authenticate.ts"
import { type Call, type CallSteps, chargeOf, handleCharge } from "./call.ts"
import {
  type Decision,
  type Found,
  findPayer,
  isStale,
  learn,
  type PayerRefused,
  type Stale,
} from "./decide.ts"
import type { CallRefused, Refusal } from "./refuse.ts"

type ChargeDecision = Decision<Charged | Refusal>
type GivenCharge = Wish & { idempotencyKey?: string }

/** `POST /v1/charges/batch`. */
export function createBatch({ steps, metrics, refuser }: CallDeps) {
  return async function batch({
    request,
    body,
    set,
  }: {
    request: Request
    body: { items: GivenCharge[] }
    set: Outgoing
  }): Promise<string> {
    const startedAt = performance.now()
    const requestId = requestIdOf(set.headers)
    const key = request.headers.get(IDEMPOTENCY_HEADER)
    const calls = body.items.map((item, place) => callOf(request, requestId, item, keyOf(item, key, place)))
    const answer = await handleBatch({ request, calls }, steps)
    if (answer.status !== "decided") {
      return refuser.refuse(answer, { payer: null, amountFen: 0 }, set)
    }
    const seconds = (performance.now() - startedAt) / 1_000
    let isReplay = true
    const results = answer.decisions.map(({ call, payer, outcome }) => {
      metrics.chargeDecided(outcome.status, seconds)
      if (payer !== null && outcome.status === "accepted") {
        isReplay &&= outcome.isReplay
        return chargeText(chargeIdOf(payer.accountId, outcome), outcome, saleOf(call, payer, outcome))
      }
      isReplay = false
      return refuser.
    })
  }
}

/** One call of many, and who pays for it. */
type Line = { call: Call; found: Found }

/**
 * Charges many calls of one request, all at once: the ledger puts them into batches of its own. Each
 * is decided by itself, and what becomes of one is nothing to the others. Where nobody pays for any
 * of them, that alone is the answer.
 */
export async function handleBatch(
  { request, calls }: { request: Request; calls: readonly Call[] },
  steps: CallSteps,
): Promise<PayerRefused | { status: "decided"; decisions: ChargeDecision[] }> {
  const caller = await findPayer({ request, named: {} }, steps)
  // A service key is no payer by itself: each call names its own.
  if (caller.status !== "verified" && caller.status !== "field_missing") return caller
  const payers = await findPayers(calls, caller, steps)
  if (calls.some(({ wish }) => isUnknown(wish.interface, steps))) await steps.prices.lookAgain()

  const lines = calls.map((call) => ({ call, found: payers.get(nameOf(call)) ?? caller }))
  const outcomes = await Promise.all(lines.map((line) => send(line, steps)))
  const learnt = new Map<string, Promise<Found>>()
  const decisions = lines.map(({ call, found }, place) => {
    if (found.status !== "verified") return { payer: null, outcome: found }
    const outcome = outcomes[place] ?? missing()
    return isStale(outcome) ? again(call, found.key, outcome) : { payer: found.key, outcome }
  })
  return { status: "decided", decisions: await Promise.all(decisions) }

  /** What the script knows better is asked for once for all calls of one payer. */
  async function again(call: Call, payer: Payer, outcome: Stale): Promise<ChargeDecision> {
    const name = nameOf(call)
    const learning = learnt.get(name) ?? learn(outcome, call, payer, steps)
    learnt.set(name, learning)
    await learning
    return await handleCharge(call, steps)
  }
}

/** Who pays is found once for all calls that name the same. */
async function findPayers(
  calls: readonly Call[],
  caller: Found,
  steps: CallSteps,
): Promise<ReadonlyMap<string, Found>> {
  const naming = new Map<string, Found | Promise<Found>>([["", caller]])
  for (const call of calls) {
    const name = nameOf(call)
    if (!naming.has(name)) naming.set(name, findPayer(call, steps))
  }
  if (naming.size === 1) return new Map([["", caller]])
  const found = [...naming].map(async ([name, finding]) => [name, await finding] as const)
  return new Map(await Promise.all(found))
}

/** Whom a call names; empty where it names nobody. */
function nameOf({ wish: { apiKey, accountId } }: Call): string {
  return apiKey === undefined && accountId === undefined ? "" : `${apiKey} ${accountId}`
}

function isUnknown(interfaceId: string | undefined, { prices }: CallSteps): boolean {
  return interfaceId !== undefined && prices.priceOf(interfaceId) === null
}

function send(
  { call, found }: Line,
  { prices, ledger }: CallSteps,
): Promise<ChargeOutcome> | CallRefused | null {
  if (found.status !== "verified") return null
  const item = chargeOf(call, found.key, prices)
  return "status" in item ? item : ledger.charge(item)
}

function missing(): never {
  throw new Error("broken invariant: a call of a batch without an outcome")
}
