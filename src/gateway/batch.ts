import { IDEMPOTENCY_HEADER } from "../http/idempotency-key.ts"
import type { Outgoing } from "../http/problem.ts"
import { requestIdOf } from "../http/request-id.ts"
import type { Charged, ChargeOutcome } from "../ledger/items.ts"
import { UNAVAILABLE } from "../ledger/outcomes.ts"
import { chargeIdOf, chargeText } from "./answer.ts"
import type { Payer } from "./authenticate.ts"
import {
  aboutOf,
  type Call,
  type CallDeps,
  type CallSteps,
  chargeOf,
  handleCharge,
  NOBODY,
  saleOf,
  UNPRICED,
  type Wish,
} from "./call.ts"
import {
  type Decision,
  type Found,
  findAnew,
  findPayer,
  isStale,
  learn,
  type PayerRefused,
  type Stale,
} from "./decide.ts"
import type { CallRefused, Refusal } from "./refusals.ts"
import { tellRate } from "./refuse.ts"

type BatchBody = { items: (Wish & { idempotencyKey?: string })[] }
type ChargeDecision = Decision<Charged | Refusal>

/** One call of many, and who pays for it. */
type Line = { call: Call; found: Found }

/** `POST /v1/charges/batch`. */
export function createBatch({ steps, metrics, refuser }: CallDeps) {
  return async function batch({
    request,
    body,
    set,
  }: {
    request: Request
    body: BatchBody
    set: Outgoing
  }): Promise<string> {
    const startedAt = performance.now()
    const calls = readCalls(request, body, requestIdOf(set.headers))
    const answer = await handleBatch({ request, calls }, steps)
    if (answer.status !== "decided") {
      return refuser.refuse(answer, NOBODY, set)
    }
    const seconds = (performance.now() - startedAt) / 1_000
    const results = calls.map((call, place) => {
      const decision = answer.decisions[place] ?? missing()
      metrics.chargeDecided(decision.outcome.status, seconds)
      return resultOf(call, decision)
    })
    tellAll(set, answer.decisions)
    return `{"results":[${results.join(",")}]}`
  }

  function resultOf(call: Call, { payer, outcome }: ChargeDecision): string {
    if (payer === null) return refuser.refuseOne(outcome, NOBODY, call.requestId)
    if (outcome.status !== "accepted") {
      return refuser.refuseOne(outcome, aboutOf(call, payer), call.requestId)
    }
    const id = chargeIdOf(payer.accountId, outcome)
    return chargeText(id, outcome, saleOf(call, payer, outcome))
  }
}

function readCalls(request: Request, { items }: BatchBody, requestId: string): Call[] {
  const key = request.headers.get(IDEMPOTENCY_HEADER)
  return items.map((wish, place) => ({
    request,
    named: wish,
    wish,
    requestId,
    route: "POST /v1/charges/batch",
    idempotencyKey: wish.idempotencyKey ?? (key === null ? null : `${key}#${place}`),
    isOnce: false,
    amountFen: UNPRICED,
  }))
}

/** The headers of the whole: what the last of its calls has left to the key, and if all are old. */
function tellAll(set: Outgoing, decisions: readonly ChargeDecision[]): void {
  set.headers["content-type"] = "application/json"
  const isReplay = ({ outcome }: ChargeDecision) => "isReplay" in outcome && outcome.isReplay
  if (decisions.every(isReplay)) set.headers["idempotent-replayed"] = "true"
  const last = decisions.findLast(({ outcome }) => "rate" in outcome && outcome.rate !== null)
  if (last?.payer == null || last.payer.servicesVersion !== null) return
  tellRate(set.headers, last.payer, "rate" in last.outcome ? last.outcome.rate : null)
}

/**
 * Charges many calls of one request, all at once: the ledger puts them into batches of its own. Each
 * is decided by itself, and what becomes of one is nothing to the others. Where nobody pays for any
 * of them, that alone is the answer.
 */
async function handleBatch(
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
  const decisions: ChargeDecision[] = []
  const learnt = new Map<string, Promise<Found>>()
  const sentAgain: Promise<void>[] = []
  for (const [place, { call, found }] of lines.entries()) {
    const outcome = outcomes[place] ?? missing()
    if (found.status !== "verified") decisions[place] = { payer: null, outcome: found }
    else if (isStale(outcome) || outcome.status === "interface_not_allowed") {
      sentAgain.push(sendAgain(place, { call, payer: found.key, outcome }))
    } else decisions[place] = { payer: found.key, outcome }
  }
  await Promise.all(sentAgain)
  return { status: "decided", decisions }

  /** What the script knows better is asked for once for all calls of one payer. */
  async function sendAgain(
    place: number,
    { call, payer, outcome }: { call: Call; payer: Payer; outcome: Stale | CallRefused },
  ): Promise<void> {
    const name = nameOf(call)
    const learning =
      learnt.get(name) ??
      (isStale(outcome) ? learn(outcome, call, payer, steps) : findAnew(call, steps))
    learnt.set(name, learning)
    await learning
    decisions[place] = await handleCharge(call, steps)
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

const UNSENT = Promise.resolve(UNAVAILABLE)

function send(
  { call, found }: Line,
  { prices, ledger }: CallSteps,
): Promise<ChargeOutcome | CallRefused> {
  if (found.status !== "verified") return UNSENT
  const item = chargeOf(call, found.key, prices)
  return "status" in item ? Promise.resolve(item) : ledger.charge(item)
}

function missing(): never {
  throw new Error("broken invariant: a call of a batch without an outcome")
}
