import { randomChars } from "../../src/ids.ts"
import type { Fate, Sent } from "./caller.ts"
import { headerOf } from "./caller.ts"
import type { Chance } from "./chance.ts"
import type { Intent, Journal, Told } from "./journal.ts"
import { API_INTERFACE, type Payer } from "./site.ts"
import { nameOfRedemption } from "./verdict.ts"

/** What clients do: each play is one thing that one of them wants, with its retries. */

export type Stage = {
  chance: Chance
  journal: Journal
  /** Sends it to one of the gateways; tells the observers. */
  send(payer: Payer, sent: Sent, options?: { isBilled: boolean }): Promise<Fate>
  payer(): Payer
  poor(): Payer
  /** A code that nobody has redeemed; null: there is none left. */
  code(): string | null
  /** As long as a client waits that was told to come again. */
  wait(): Promise<unknown>
}

export type Play = (stage: Stage) => Promise<void>

/** All that a run has charged bears one: no two runs on the same stores share any. */
const RUN = randomChars(5)
let made = 0
const nextName = () => `~${RUN}.${++made}`
const nextRequestId = () => `r${RUN}.${++made}`

const ATTEMPTS_MAX = 4
const HOLD_SECONDS = 20

/** In proportion to how often they are played. */
export const PLAYS: readonly (readonly [Play, number])[] = [
  [chargeOnce, 40],
  [chargeKeyed, 22],
  [chargeMany, 8],
  [holdAndResolve, 14],
  [callApi, 12],
  [redeem, 2],
  [readBalance, 2],
]

async function chargeOnce(stage: Stage): Promise<void> {
  const payer = stage.payer()
  const name = nextName()
  const intent = stage.journal.open({ kind: "charge", name, accountId: payer.id })
  take(stage, intent, await stage.send(payer, chargeRequest(stage, payer, name)))
}

function chargeRequest({ chance }: Stage, payer: Payer, description: string): Sent {
  const body = { interface: "user.login", quantity: chance.between(1, 3), description }
  const requestId = nextRequestId()
  return { method: "POST", path: "/v1/charges", credential: payer.key, requestId, body }
}

/** Comes again until it has an answer, and sometimes once more. */
async function chargeKeyed(stage: Stage): Promise<void> {
  const payer = stage.payer()
  const name = nextName()
  const intent = stage.journal.open({ kind: "charge", name, accountId: payer.id })
  const sent = { ...chargeRequest(stage, payer, name), idempotencyKey: `k${name}` }
  const attempt = async () => take(stage, intent, await stage.send(payer, sent))
  intent.settle = attempt
  await untilAnswered(stage, intent, attempt)
  if (intent.class === "done" && stage.chance.is(0.15)) await attempt()
}

async function untilAnswered(
  stage: Stage,
  intent: Intent,
  attempt: () => Promise<boolean>,
): Promise<void> {
  for (let attempts = 1; attempts <= ATTEMPTS_MAX; attempts++) {
    if (await attempt()) return
    if (intent.class === "done") return
    await stage.wait()
  }
}

/** Each charge of a batch is an intent of its own. With a key for all, it comes again until answered. */
async function chargeMany(stage: Stage): Promise<void> {
  const { journal, chance } = stage
  const payer = stage.payer()
  const intents = Array.from({ length: chance.between(2, 12) }, () =>
    journal.open({ kind: "charge", name: nextName(), accountId: payer.id }),
  )
  const isKeyed = chance.is(0.5)
  const items = intents.map(({ name }) => ({ interface: "user.login", description: name }))
  const request = { method: "POST", path: "/v1/charges/batch", credential: payer.key } as const
  const sent = {
    ...{ ...request, requestId: nextRequestId(), body: { items } },
    idempotencyKey: isKeyed ? `b${intents[0]?.name}` : null,
  }
  const attempt = async () => takeAll(stage, intents, await stage.send(payer, sent))
  if (isKeyed) for (const intent of intents) intent.settle = attempt
  for (let attempts = 1; attempts <= ATTEMPTS_MAX; attempts++) {
    if ((await attempt()) || !isKeyed) return
    await stage.wait()
  }
}

/** Answers true where every charge has its answer. */
function takeAll(stage: Stage, intents: readonly Intent[], fate: Fate): boolean {
  if (fate.is !== "answered" || fate.status !== 200) {
    return intents.map((intent) => take(stage, intent, fate)).every(Boolean)
  }
  const results: ReturnType<typeof JSON.parse>[] = fate.body.results
  const taken = intents.map((intent, place) => {
    const body = results[place]
    const status = typeof body?.status === "number" ? body.status : 200
    return take(stage, intent, { is: "answered", status, head: "", body })
  })
  return taken.every(Boolean)
}

/** Reserves, and soon afterwards takes a part, or gives it back. */
async function holdAndResolve(stage: Stage): Promise<void> {
  const { chance, journal } = stage
  const payer = stage.payer()
  const name = nextName()
  const holdRequest: Sent = {
    ...{ method: "POST", path: "/v1/holds", credential: payer.key, requestId: nextRequestId() },
    idempotencyKey: chance.is(0.5) ? `h${name}` : null,
    body: { amountFen: chance.between(1, 9), ttlSeconds: HOLD_SECONDS, description: name },
  }
  let held = await stage.send(payer, holdRequest)
  if (holdRequest.idempotencyKey !== null && !isSettled(held)) {
    await stage.wait()
    held = await stage.send(payer, holdRequest)
  }
  if (held.is !== "answered" || held.status !== 201) return tellStrange(journal, held, "hold")
  const path = `/v1/holds/${held.body.holdId}`
  const resolution = { method: "POST", credential: payer.key } as const
  if (chance.is(0.3)) {
    const requestId = nextRequestId()
    const voided = await stage.send(payer, { ...resolution, path: `${path}/void`, requestId })
    return tellStrange(journal, voided, "void")
  }
  const intent = journal.open({ kind: "charge", name, accountId: payer.id })
  const amountFen = chance.between(1, held.body.amountFen)
  const sent: Sent = {
    ...{ ...resolution, path: `${path}/capture`, requestId: nextRequestId(), body: { amountFen } },
    idempotencyKey: chance.is(0.5) ? `c${name}` : null,
  }
  const attempt = async () => take(stage, intent, await stage.send(payer, sent))
  if (sent.idempotencyKey !== null) intent.settle = attempt
  await untilAnswered(stage, intent, attempt)
}

/** A call that is forwarded: its record bears its request's id. */
async function callApi(stage: Stage): Promise<void> {
  const { chance, journal } = stage
  const payer = stage.payer()
  const name = nextRequestId()
  const intent = journal.open({ kind: "charge", name, accountId: payer.id })
  const idempotencyKey = chance.is(0.3) ? `a${name}` : null
  const path = `${API_INTERFACE.path}/${chance.between(1, 99)}`
  const sent = { method: "GET", path, credential: payer.key, requestId: name } as const
  const attempt = async () =>
    takeCall(stage, intent, await stage.send(payer, { ...sent, idempotencyKey }))
  if (idempotencyKey === null) await attempt()
  else {
    intent.settle = attempt
    await untilAnswered(stage, intent, attempt)
  }
}

/** The charge of a call that was forwarded is told by headers, or by the refusal of its repeat. */
function takeCall(stage: Stage, intent: Intent, fate: Fate): boolean {
  if (fate.is !== "answered") return take(stage, intent, fate)
  const { status, head, body } = fate
  const chargeId = headerOf(head, "x-charge-id")
  if (status === 200 && chargeId !== null) {
    const amountFen = Number(headerOf(head, "x-charge-fen"))
    stage.journal.done(intent, { chargeId, amountFen, seq: null, balanceAfterFen: null })
    return true
  }
  // A revoke that is under way may put back what it speaks of: it is asked again when all is quiet.
  if (status === 409 && body.code === "already_charged") {
    if (stage.journal.isQuiet) stage.journal.done(intent, null)
    else stage.journal.unknown(intent)
    return true
  }
  // Its hold stands until its interface's time is over: who asks then may learn more.
  if (status === 409 && body.code === "request_in_progress") {
    stage.journal.unknown(intent)
    return false
  }
  if (status === 200) stage.journal.strangely("a call was answered 200 without a charge")
  return take(stage, intent, fate)
}

async function redeem(stage: Stage): Promise<void> {
  const code = stage.code()
  if (code === null) return
  await redeemCode(stage, stage.poor(), code)
}

export async function redeemCode(
  stage: Pick<Stage, "journal" | "send">,
  payer: Payer,
  code: string,
): Promise<Intent> {
  const { journal } = stage
  const name = nameOfRedemption(code, payer.id)
  const intent =
    journal.find(name) ?? journal.open({ kind: "redemption", name, accountId: payer.id })
  const sent: Sent = {
    ...{ method: "POST", path: "/v1/redemptions", credential: payer.token },
    ...{ requestId: nextRequestId(), body: { code } },
  }
  const attempt = async () =>
    takeRedemption(journal, intent, await stage.send(payer, sent, { isBilled: false }))
  intent.settle = attempt
  await attempt()
  return intent
}

function takeRedemption(journal: Journal, intent: Intent, fate: Fate): void {
  if (fate.is !== "answered") {
    if (fate.is === "unknown") journal.unknown(intent)
    else journal.refused(intent)
    return
  }
  const { status, body } = fate
  if (status === 201) {
    const { redemptionId: chargeId, amountFen } = body
    journal.done(intent, { chargeId, amountFen, seq: null, balanceAfterFen: null })
  } else if (status === 409 && body.code === "already_redeemed") journal.done(intent, null)
  else if (status === 409 && body.code === "code_used_up") journal.refused(intent)
  // Postgres may have committed before it went away: nothing is promised of a 5xx here.
  else if (status === 500 || status === 503) journal.unknown(intent)
  else tellStrange(journal, fate, "redemption")
}

async function readBalance(stage: Stage): Promise<void> {
  const payer = stage.payer()
  const requestId = nextRequestId()
  const read = { method: "GET", path: "/v1/balance", credential: payer.key, requestId } as const
  tellStrange(stage.journal, await stage.send(payer, read, { isBilled: false }), "balance")
}

/** Notes what became of an attempt. Answers whether it has its last answer. */
function take({ journal }: Stage, intent: Intent, fate: Fate): boolean {
  if (fate.is === "unknown") journal.unknown(intent)
  else if (fate.is === "unsent") journal.refused(intent)
  else if (fate.status === 200) journal.done(intent, toldOf(fate.body))
  else {
    journal.refused(intent)
    tellStrange(journal, fate, "charge")
  }
  return isSettled(fate)
}

function toldOf(body: ReturnType<typeof JSON.parse>): Told {
  const { chargeId, seq, amountFen, balanceAfterFen } = body
  return { chargeId, seq, amountFen, balanceAfterFen }
}

function isSettled(fate: Fate): boolean {
  return fate.is === "answered" && fate.status !== 503
}

/** What may be answered, beside success. */
const EXPECTED = new Set([
  "402 insufficient_balance",
  "409 hold_already_resolved",
  "409 hold_expired",
  "409 hold_lost",
  "404 not_found",
  "502 upstream_failed",
  "503 billing_unavailable",
  "504 upstream_timeout",
])

function tellStrange(journal: Journal, fate: Fate, what: string): void {
  if (fate.is !== "answered" || fate.status < 300) return
  const said = `${fate.status} ${fate.body?.code ?? ""}`
  if (!EXPECTED.has(said)) journal.strangely(`${what}: ${said}`)
}
