import type { AccountId } from "../../src/ids.ts"
import type { ChargeItem, Idempotency } from "../../src/ledger/items.ts"
import type { Ledger } from "../../src/ledger/ledger.ts"
import { UNAVAILABLE_ANSWER_MS_MAX } from "../../src/limits.ts"
import { fen } from "../../src/money.ts"
import { detailsOf } from "../support/details.ts"
import type { Process } from "./processes.ts"
import type { Random } from "./random.ts"
import type { Part } from "./scheduler.ts"
import type { World } from "./world.ts"

/** What callers ask, and what they are told: the log that the books are compared with. */

/** One thing that a caller wants to pay for, however often it asks. */
export type Wish = {
  id: string
  accountId: AccountId
  amountFen: number
  what: "charge" | "capture"
  isKeyed: boolean
  /** What each attempt was told, in the order of the answers. */
  told: string[]
  /** The answers that say that it is paid; more than one where Redis has lost the first. */
  paid: Paid[]
}
export type Paid = {
  seq: number
  balanceFen: number
  amountFen: number
  /** The gateway that said so. */
  by: Part | null
}
export type Credit = {
  sourceId: string
  accountId: AccountId
  amountFen: number
  told: "applied" | "committed" | "refused" | "unknown"
}

export type CallerLog = { wishes: Wish[]; credits: Credit[]; waiting: number }

/** What a call over the network ends with. */
type Called<Answer> =
  | { status: "answered"; answer: Answer; by: Part | null }
  | { status: "not_sent" | "no_answer" }

/** `isTimed`: promise 9 is about it. */
type AskOptions = { gateway?: Process<Ledger>; isTimed?: boolean }

const CLIENT_TIMEOUT_MS = 3_000
const ATTEMPTS_MAX = 6

export function createCallers(world: World, accounts: readonly AccountId[]) {
  const { scheduler, gateways } = world
  const random = world.random("callers")
  const log: CallerLog = { wishes: [], credits: [], waiting: 0 }
  let wishes = 0
  return { log, start, ask }

  function start(isOver: () => boolean): void {
    for (let i = 0; i < world.plan.callers; i++) {
      const own = random.fork(`caller ${i}`)
      log.waiting++
      void live(own, isOver).finally(() => log.waiting--)
    }
  }

  async function live(own: Random, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const count = own.chance(0.15) ? own.integer(2, 5) : 1
      await Promise.all(Array.from({ length: count }, () => wish(own)))
      await scheduler.sleep(own.chance(0.2) ? own.between(0, 600) : own.between(0, 80))
    }
  }

  function wish(own: Random): Promise<void> {
    const dice = own.next()
    if (dice < 0.3) return payOnce(own)
    if (dice < 0.65) return payKeyed(own)
    if (dice < 0.92) return holdAndCapture(own)
    return buyCredit(own)
  }

  function begin(own: Random, what: Wish["what"], isKeyed: boolean): Wish {
    const made: Wish = {
      id: `req_${++wishes}`,
      accountId: own.pick(accounts),
      amountFen: own.integer(1, 60),
      ...{ what, isKeyed, told: [], paid: [] },
    }
    log.wishes.push(made)
    return made
  }

  async function payOnce(own: Random): Promise<void> {
    const made = begin(own, "charge", false)
    await attempt(made, own, (ledger) => ledger.charge(itemOf(made, null)))
  }

  /** The same key until it is known; sometimes once more, or twice at the same moment. */
  async function payKeyed(own: Random): Promise<void> {
    const made = begin(own, "charge", true)
    const idempotency = keyOf(made.id)
    const pay = () => attempt(made, own, (ledger) => ledger.charge(itemOf(made, idempotency)))
    const twin = own.chance(0.2) ? pay() : null
    for (let i = 0; i < ATTEMPTS_MAX; i++) {
      const { isKnown } = await pay()
      if (isKnown && !own.chance(0.25)) break
      await scheduler.sleep(own.chance(0.3) ? own.between(0, 2_500) : own.between(0, 250))
    }
    await twin
  }

  async function holdAndCapture(own: Random): Promise<void> {
    const made = begin(own, "capture", own.chance(0.4))
    const ttlMs = own.integer(300, 2_500)
    const holdKey = own.chance(0.4) ? keyOf(`h${made.id}`) : null
    const isInternal = holdKey === null && own.chance(0.3)
    let holdId: string | null = null
    for (let i = 0; i < 3 && holdId === null; i++) {
      const item = { ...itemOf(made, holdKey), ttlMs, isInternal }
      const called = await ask(own, (ledger) => ledger.hold(item))
      world.note(`caller: ${made.id} hold: ${statusOf(called)}`)
      if (called.status === "answered" && called.answer.status === "held") {
        holdId = called.answer.holdId
      } else if (holdKey === null || isFinal(called)) return
    }
    if (holdId === null) return
    const id = holdId
    await scheduler.sleep(own.chance(0.2) ? own.between(0, 3_000) : own.between(0, 200))
    const dice = own.next()
    if (dice < 0.1) return
    if (dice < 0.25) {
      const voided = await ask(own, (ledger) => ledger.voidHold({ holdId: id, idempotency: null }))
      world.note(`caller: ${made.id} void: ${statusOf(voided)}`)
      return
    }
    await capture(own, made, id)
  }

  async function capture(own: Random, made: Wish, holdId: string): Promise<void> {
    const idempotency = made.isKeyed ? keyOf(made.id) : null
    const amountFen = own.chance(0.4) ? fen(own.integer(1, made.amountFen)) : null
    for (let i = 0; i < ATTEMPTS_MAX; i++) {
      const item = { holdId, amountFen, idempotency }
      const { isKnown } = await attempt(made, own, (ledger) => ledger.capture(item))
      if (isKnown) break
      await scheduler.sleep(own.between(0, 300))
    }
  }

  async function buyCredit(own: Random): Promise<void> {
    const credit: Credit = {
      sourceId: `rdm_${++wishes}`,
      accountId: own.pick(accounts),
      amountFen: own.integer(20, 400),
      told: "unknown",
    }
    log.credits.push(credit)
    const part = (ledger: Ledger) => recharge(world, ledger, credit)
    const called = await ask(own, part, { isTimed: false })
    if (called.status === "not_sent") credit.told = "refused"
    if (called.status === "answered") credit.told = called.answer
    world.note(`caller: ${credit.sourceId} is told ${credit.told}`)
  }

  async function attempt<Answer extends { status: string }>(
    made: Wish,
    own: Random,
    work: (ledger: Ledger) => Promise<Answer>,
  ): Promise<{ isKnown: boolean }> {
    const called = await ask(own, work)
    const status = statusOf(called)
    made.told.push(status)
    world.note(`caller: ${made.id} is told ${status}`)
    if (called.status === "answered" && status === "accepted") {
      noteAnswer(made, called.answer, called.by)
    }
    return { isKnown: isFinal(called) }
  }

  function noteAnswer(made: Wish, answer: object, by: Part | null): void {
    const paid = readPaid(answer)
    if (paid === null) return world.fail(`${made.id}: accepted without a number`)
    made.paid.push({ ...paid, by })
  }

  /** One call of a gateway over a network that may lose its answer. */
  function ask<Answer>(
    own: Random,
    work: (ledger: Ledger) => Promise<Answer>,
    { gateway = own.pick(gateways), isTimed = true }: AskOptions = {},
  ): Promise<Called<Answer>> {
    return new Promise((resolve) => {
      let forget = () => {}
      const settle = (called: Called<Answer>) => {
        forget()
        patience.cancel()
        scheduler.after(own.between(0.1, 1), () => resolve(called), null)
      }
      const patience = scheduler.after(
        CLIENT_TIMEOUT_MS,
        () => resolve({ status: "no_answer" }),
        null,
      )
      const arrive = () => {
        const [ledger, part] = [gateway.running(), gateway.part()]
        if (ledger === null || part === null) return settle({ status: "not_sent" })
        forget = gateway.onDeath(() => settle({ status: "no_answer" }))
        scheduler.after(0, () => void handle(ledger), part)
      }
      scheduler.after(own.between(0.1, 1), arrive, null)

      async function handle(ledger: Ledger): Promise<void> {
        const sinceMs = scheduler.now()
        try {
          const answer = await work(ledger)
          const tookMs = scheduler.now() - sinceMs
          const wasPaused = gateway.pausedUntilMs() > sinceMs
          if (isTimed && tookMs > UNAVAILABLE_ANSWER_MS_MAX && !wasPaused) {
            world.fail(`an answer took ${tookMs.toFixed(0)} ms`)
          }
          const isLost = own.chance(world.weather().answerLost)
          const by = scheduler.current()
          settle(isLost ? { status: "no_answer" } : { status: "answered", answer, by })
        } catch (error) {
          world.fail(`a gateway threw: ${String(error)}`)
        }
      }
    })
  }
}

/** As the account plane does it: gate, commit, apply. */
async function recharge(
  { postgres, scheduler, plan }: World,
  ledger: Ledger,
  { accountId, sourceId, amountFen }: Credit,
): Promise<Credit["told"]> {
  const part = scheduler.current()
  const state = await ledger.isRecordBehind().catch(() => "behind" as const)
  // While Redis is away nobody can tell a Postgres that was restored: numbers may be given twice then.
  const isRestored = plan.faults.some(({ kind }) => kind === "postgres_restored")
  if (state === "behind" || (state === "unknown" && isRestored)) return "refused"
  try {
    const made = await postgres.run(part, "commitCredit", [{ accountId, sourceId, amountFen }])
    if (made !== true) return "refused"
  } catch {
    return "unknown"
  }
  try {
    const { status } = await ledger.applyPending(accountId)
    return status === "applied" ? "applied" : "committed"
  } catch {
    return "committed"
  }
}

function itemOf(made: Wish, idempotency: Idempotency | null): ChargeItem {
  return {
    accountId: made.accountId,
    amountFen: fen(made.amountFen),
    ...{ authVersion: 1, servicesVersion: null, limits: null, idempotency },
    details: detailsOf({ requestId: made.id }),
  }
}

function keyOf(name: string): Idempotency {
  return { digest: name.padEnd(16, "-"), fingerprint: "prints", isOnce: false }
}

function statusOf(called: Called<{ status: string }>): string {
  return called.status === "answered" ? called.answer.status : called.status
}

/** Asking again would change nothing. */
function isFinal(called: Called<{ status: string }>): boolean {
  return called.status === "answered" && called.answer.status !== "unavailable"
}

function readPaid(answer: object): Omit<Paid, "by"> | null {
  if (!("seq" in answer) || !("balanceFen" in answer) || !("amountFen" in answer)) return null
  const { seq, balanceFen, amountFen } = answer
  return { seq: Number(seq), balanceFen: Number(balanceFen), amountFen: Number(amountFen) }
}
