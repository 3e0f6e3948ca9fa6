import type { AccountStatus } from "../../../src/ledger/states.ts"
import { type Answer, fingerprintOf, type Item, isOnce, nameOf } from "./items.ts"

/**
 * What the scripts are for, in plain TypeScript: no packing, no numbers of entries, no Redis. Where the
 * scripts count how often a result was told, this keeps who told it, and to whom it belongs.
 */

export type Limits = { dailyFen: number; totalFen: number }

export type Account = {
  balanceFen: number
  heldFen: number
  seq: number
  instruction: number
  authVersion: number
  status: AccountStatus
  limits: Limits | null
}

export type Counter = { day: number; dayFen: number; totalFen: number }

export type Hold = {
  account: number
  amountFen: number
  expiresAtMs: number
  state: "open" | "captured" | "voided" | "expired" | "gone"
  isForwarded: boolean
  day: number
  /** The result that says that its call runs. */
  running: string | null
}

/** One movement out of a balance, which goes back once at most. */
type Charge = { account: number; seq: number; amountFen: number; day: number; isReversed: boolean }

export type Result = {
  state: "charged" | "held" | "running" | "voided"
  fingerprint: string
  answer: Answer
  charge: Charge | null
  hold: number | null
  /** The batch that made it; null once that was revoked. */
  maker: Batch | null
  /** A batch for each time that it was told again. */
  told: Batch[]
}

/** What one item did, for a revoke. */
type Effect =
  | { did: "nothing" }
  | { did: "told"; name: string; result: Result }
  | { did: "charge"; name: string | null; charge: Charge }
  | { did: "hold"; name: string | null; hold: number }
  | { did: "capture"; name: string | null; charge: Charge; hold: number }

export type Batch = { answers: Answer[]; effects: Effect[]; day: number }

const SHANGHAI_MS = 8 * 3_600_000
const DAY_MS = 86_400_000
const BALANCE_MAX = 4_503_599_627_370_495

export class Model {
  readonly accounts: Account[]
  readonly counters: Counter[]
  readonly holds: Hold[] = []
  readonly results = new Map<string, Result>()
  readonly charges: Charge[] = []
  records = 0
  clockMs: number

  constructor(accounts: Account[], clockMs: number) {
    this.accounts = accounts
    this.counters = accounts.map(() => ({ day: 0, dayFen: 0, totalFen: 0 }))
    this.clockMs = clockMs
  }

  get day(): number {
    return Math.floor((this.clockMs + SHANGHAI_MS) / DAY_MS)
  }

  decide(items: readonly Item[]): Batch {
    const batch: Batch = { answers: [], effects: [], day: this.day }
    for (const item of items) {
      const [answer, effect] =
        item.verb === "charge" || item.verb === "hold"
          ? this.spend(item, batch)
          : this.resolve(item, batch)
      batch.answers.push(answer)
      batch.effects.push(effect)
    }
    return batch
  }

  private spend(item: Item & { verb: "charge" | "hold" }, batch: Batch): [Answer, Effect] {
    const account = this.account(item.account)
    const { status, authVersion, balanceFen, heldFen } = account
    if (status !== "open") return refused(`account_${status}`)
    if (authVersion !== item.authVersion) return refused("auth_changed", { authVersion })
    const name = nameOf(item)
    const fingerprint = fingerprintOf(item)
    const repeated = this.repeat({ name, fingerprint, batch, isOnce: isOnce(item) })
    if (repeated !== null) return repeated
    const reached = this.reachedLimit(item)
    if (reached !== null) return refused("key_budget_reached", { limitSource: reached })
    if (balanceFen - heldFen < item.amountFen) {
      return refused("insufficient_balance", { balanceFen, heldFen })
    }
    this.count(item)
    return item.verb === "charge"
      ? this.charge(item, { name, fingerprint, batch })
      : this.hold(item, { name, fingerprint, batch })
  }

  private charge(
    { account: place, amountFen }: Item & { verb: "charge" },
    { name, fingerprint, batch }: Keyed,
  ): [Answer, Effect] {
    const charge = this.take(place, amountFen)
    const answer = { ...this.told(place), status: "accepted", seq: charge.seq, amountFen }
    const first = { ...answer, isReplay: false, atMs: this.clockMs }
    this.remember(name, { state: "charged", fingerprint, answer: first, charge, maker: batch })
    return [first, { did: "charge", name, charge }]
  }

  private hold(
    { account: place, amountFen, ttlMs, isForwarded }: Item & { verb: "hold" },
    { name, fingerprint, batch }: Keyed,
  ): [Answer, Effect] {
    this.account(place).heldFen += amountFen
    const expiresAtMs = this.clockMs + ttlMs
    const hold = this.holds.length
    const running = isForwarded ? name : null
    const made = { account: place, amountFen, expiresAtMs, isForwarded, day: this.day, running }
    this.holds.push({ ...made, state: "open" })
    const told = { ...this.told(place), status: "held", isReplay: false, amountFen, expiresAtMs }
    const answer = { ...told, hold }
    const state = isForwarded ? "running" : "held"
    this.remember(name, { state, fingerprint, answer, hold, maker: batch })
    return [answer, { did: "hold", name, hold }]
  }

  private resolve(item: Item & { verb: "capture" | "void" }, batch: Batch): [Answer, Effect] {
    const [name, fingerprint] = [nameOf(item), fingerprintOf(item)]
    const repeated = this.repeat({ name, fingerprint, batch, isOnce: false })
    if (repeated !== null) return repeated
    const hold = this.holds[item.hold]
    if (hold === undefined) throw new Error(`the model has no hold ${item.hold}`)
    if (hold.state === "gone") return refused("hold_not_found")
    if (hold.state === "expired") return refused("hold_expired")
    if (hold.state !== "open") return refused("hold_already_resolved")
    const isOver = this.clockMs >= hold.expiresAtMs
    if (item.verb === "void") {
      if (item.isExpiry && !isOver) return refused("unavailable")
      return this.voidHold(item, hold, { name, fingerprint, batch })
    }
    if (isOver) return refused("hold_expired")
    const amountFen = item.amountFen ?? hold.amountFen
    if (amountFen > hold.amountFen) {
      return refused("capture_exceeds_hold", { holdFen: hold.amountFen })
    }
    return this.capture({ ...item, amountFen }, hold, { name, fingerprint, batch })
  }

  private voidHold(
    item: Item & { verb: "void" },
    hold: Hold,
    { name, fingerprint, batch }: Keyed,
  ): [Answer, Effect] {
    this.close(hold, item.isExpiry ? "expired" : "voided")
    this.giveBack(hold.account, { day: hold.day, amountFen: hold.amountFen })
    if (hold.running !== null) this.results.delete(hold.running)
    const answer = { ...this.told(hold.account), status: "voided", isReplay: false }
    this.remember(name, { state: "voided", fingerprint, answer, maker: batch })
    return [answer, { did: "nothing" }]
  }

  private capture(
    { hold: place, amountFen }: { hold: number; amountFen: number },
    hold: Hold,
    { name, fingerprint, batch }: Keyed,
  ): [Answer, Effect] {
    this.close(hold, "captured")
    const charge = this.take(hold.account, amountFen)
    charge.day = hold.day
    this.giveBack(hold.account, { day: hold.day, amountFen: hold.amountFen - amountFen })
    const told = { ...this.told(hold.account), status: "accepted", seq: charge.seq, amountFen }
    const answer = { ...told, isReplay: false, atMs: this.clockMs }
    const running = hold.running === null ? undefined : this.results.get(hold.running)
    if (running !== undefined) {
      Object.assign(running, { state: "charged", answer, charge, hold: null, maker: batch })
    }
    const made = { state: "charged", fingerprint, answer, charge, hold: place } as const
    this.remember(name, { ...made, maker: batch })
    return [answer, { did: "capture", name, charge, hold: place }]
  }

  /** A repeat of a key is answered from its result. Null: there is none. */
  private repeat({
    name,
    fingerprint,
    batch,
    isOnce,
  }: Keyed & { isOnce: boolean }): [Answer, Effect] | null {
    const result = name === null ? undefined : this.results.get(name)
    if (name === null || result === undefined) return null
    if (result.fingerprint !== fingerprint) return refused("idempotency_key_reused")
    if (result.state === "running") return refused("request_in_progress")
    const { answer } = result
    if (isOnce) {
      const { amountFen, seq, atMs } = answer
      return refused("already_charged", { amountFen, seq, atMs })
    }
    const again = { ...answer, isReplay: true }
    if (result.maker === batch) return [again, { did: "nothing" }]
    result.told.push(batch)
    return [again, result.state === "voided" ? { did: "nothing" } : { did: "told", name, result }]
  }

  /** Undoes what the batch did, and nobody but its own callers was told of. */
  revoke(batch: Batch): void {
    for (const effect of batch.effects) {
      switch (effect.did) {
        case "told":
          this.untell(effect, batch)
          break
        case "charge":
          if (this.forget(effect.name, effect)) this.undo(effect.charge, null)
          break
        case "hold":
          this.undoHold(effect)
          break
        case "capture":
          if (this.forget(effect.name, effect)) this.undo(effect.charge, effect.hold)
          break
        case "nothing":
      }
    }
    batch.effects = []
  }

  private untell({ name, result }: Effect & { did: "told" }, batch: Batch): void {
    if (this.results.get(name) !== result) return
    result.told.splice(result.told.indexOf(batch), 1)
    if (result.maker !== null || result.told.length > 0 || result.charge === null) return
    this.results.delete(name)
    this.undo(result.charge, result.hold, true)
  }

  private undoHold({ name, hold: place }: Effect & { did: "hold" }): void {
    const hold = this.holds[place]
    if (hold === undefined) throw new Error(`the model has no hold ${place}`)
    const isForgotten = this.forget(name, { hold: place })
    if (!isForgotten || hold.state !== "open") return
    this.account(hold.account).heldFen -= hold.amountFen
    hold.state = "gone"
    this.giveBack(hold.account, { day: hold.day, amountFen: hold.amountFen })
  }

  /** False where the result stays, because somebody was told of it. */
  private forget(name: string | null, of: { charge?: Charge; hold?: number }): boolean {
    const result = name === null ? undefined : this.results.get(name)
    if (name === null || result === undefined) return true
    const isOf = of.charge === undefined ? result.hold === of.hold : result.charge === of.charge
    if (!isOf) return true
    if (result.told.length > 0) {
      result.maker = null
      return false
    }
    this.results.delete(name)
    return true
  }

  /** A repeat of a capture does not say where its hold had counted: that is not given back. */
  private undo(charge: Charge, captured: number | null, isTold = false): void {
    const hold = captured === null ? undefined : this.holds[captured]
    const running = hold?.running ?? null
    if (running !== null) this.forget(running, { charge })
    const isReversed = !charge.isReversed
    if (isReversed) this.reverse(charge)
    if (isReversed && hold?.state === "captured") {
      hold.state = "open"
      hold.amountFen = charge.amountFen
      this.account(hold.account).heldFen += charge.amountFen
    } else if (!isTold || hold === undefined) {
      this.giveBack(charge.account, charge)
    }
  }

  credit(place: number, amountFen: number): "applied" | "too_large" {
    const account = this.account(place)
    if (account.balanceFen + amountFen > BALANCE_MAX) return "too_large"
    account.instruction++
    this.move(place, amountFen)
    return "applied"
  }

  /** An instruction that reverses a charge; it moves nothing where that went back before. */
  instructReversal(charge: Charge): "applied" | "too_large" {
    const account = this.account(charge.account)
    if (!charge.isReversed && account.balanceFen + charge.amountFen > BALANCE_MAX) {
      return "too_large"
    }
    account.instruction++
    if (!charge.isReversed) this.reverse(charge)
    return "applied"
  }

  private reverse(charge: Charge): void {
    charge.isReversed = true
    this.move(charge.account, charge.amountFen)
  }

  private take(place: number, amountFen: number): Charge {
    this.move(place, -amountFen)
    const { seq } = this.account(place)
    const charge = { account: place, seq, amountFen, day: this.day, isReversed: false }
    this.charges.push(charge)
    return charge
  }

  private move(place: number, amountFen: number): void {
    const account = this.account(place)
    account.balanceFen += amountFen
    account.seq++
    this.records++
  }

  private close(hold: Hold, state: Hold["state"]): void {
    hold.state = hold.isForwarded ? "gone" : state
    this.account(hold.account).heldFen -= hold.amountFen
  }

  private remember(name: string | null, made: Partial<Result> & Pick<Result, "state" | "answer">) {
    if (name === null) return
    const nothing = { fingerprint: "", charge: null, hold: null, maker: null }
    this.results.set(name, { ...nothing, ...made, told: [] })
  }

  private reachedLimit(item: Item & { verb: "charge" | "hold" }): string | null {
    const { limits } = this.account(item.account)
    if (limits === null) return null
    const { day, dayFen, totalFen } = this.counter(item.account)
    const today = day === this.day ? dayFen : 0
    if (today + item.amountFen > limits.dailyFen) return "daily"
    return totalFen + item.amountFen > limits.totalFen ? "total" : null
  }

  private count(item: Item & { verb: "charge" | "hold" }): void {
    if (this.account(item.account).limits === null) return
    const counter = this.counter(item.account)
    counter.dayFen = (counter.day === this.day ? counter.dayFen : 0) + item.amountFen
    counter.day = this.day
    counter.totalFen += item.amountFen
  }

  private giveBack(place: number, { day, amountFen }: { day: number; amountFen: number }): void {
    if (this.account(place).limits === null) return
    const counter = this.counter(place)
    if (counter.day === day) counter.dayFen -= amountFen
    counter.totalFen -= amountFen
  }

  private told(place: number) {
    const { balanceFen, heldFen } = this.account(place)
    return { balanceFen, heldFen }
  }

  private account(place: number): Account {
    const account = this.accounts[place]
    if (account === undefined) throw new Error(`the model has no account ${place}`)
    return account
  }

  private counter(place: number): Counter {
    const counter = this.counters[place]
    if (counter === undefined) throw new Error(`the model has no counter ${place}`)
    return counter
  }
}

type Keyed = { name: string | null; fingerprint: string; batch: Batch }

function refused(status: string, more: Record<string, unknown> = {}): [Answer, Effect] {
  return [{ status, ...more }, { did: "nothing" }]
}
