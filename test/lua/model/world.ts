import { expect } from "bun:test"
import { type AccountId, newId, randomChars } from "../../../src/ids.ts"
import { counterKey } from "../../../src/ledger/keys.ts"
import { decodeAccount, type Meta } from "../../../src/ledger/states.ts"
import { fen } from "../../../src/money.ts"
import { type ItemOf, keyed, limitsOf, type Outcome } from "../../support/batches.ts"
import { decodeCounter, decodeHold, decodeResult } from "../../support/packed.ts"
import { type Gateway, holdKeyOf, keyOf, resultKeyOf, type Scripts } from "../../support/scripts.ts"
import { apply, instruction, reversalOf } from "../instructions.ts"
import { type Answer, fingerprintOf, type Item, isOnce, nameOf } from "./items.ts"
import { type Account, type Batch, Model } from "./model.ts"
import type { ItemSeed, Step } from "./steps.ts"

type Slot = {
  gateway: Gateway
  last: { batch: Batch; sent: ReturnType<Gateway["prepare"]>; isRevoked: boolean } | null
}

/** The scripts and the model side by side: each step is taken on both, and everything is compared. */
export class World {
  private readonly scripts: Scripts
  private readonly model: Model
  private readonly slots: Slot[]
  private readonly sweeper: Gateway
  private readonly begin: Meta
  private readonly initial: Account[]
  private readonly ids: AccountId[]
  private readonly keyIds: string[]
  private readonly holdIds: string[] = []
  private readonly names = new Set<string>()
  private readonly keyed: Item[] = []
  private readonly prefix = randomChars(6)

  private constructor(made: {
    scripts: Scripts
    accounts: Account[]
    gateways: Gateway[]
    begin: Meta
    ids: AccountId[]
  }) {
    this.scripts = made.scripts
    this.begin = made.begin
    this.ids = made.ids
    this.initial = structuredClone(made.accounts)
    this.model = new Model(made.accounts, made.begin.clockMs)
    this.keyIds = made.ids.map(() => newId("key"))
    const [sweeper, ...gateways] = made.gateways
    if (sweeper === undefined) throw new Error("there is one gateway for the sweep")
    this.sweeper = sweeper
    this.slots = gateways.map((gateway) => ({ gateway, last: null }))
  }

  static async create(scripts: Scripts, accounts: Account[], gateways: Gateway[]): Promise<World> {
    const ids = await Promise.all(accounts.map((account) => scripts.put(account)))
    const world = new World({ scripts, accounts, gateways, begin: await scripts.meta(), ids })
    await Promise.all(world.keyIds.map((keyId) => scripts.writeCounter(keyId)))
    return world
  }

  async take(step: Step): Promise<void> {
    switch (step.step) {
      case "send":
        return this.send(this.slotAt(step.slot), this.itemsOf(step.items))
      case "bar":
        return this.bar(this.slotAt(step.slot), this.itemsOf(step.items))
      case "again":
        return this.again(this.slotAt(step.slot))
      case "revoke":
        return this.revoke(this.slotAt(step.slot))
      case "wait":
        this.model.clockMs += step.ms
        return this.scripts.setClock(this.model.clockMs)
      case "sweep":
        return this.sweep()
      case "credit":
        return this.credit(step.account, step.amountFen)
      case "reverse":
        return this.reverse(step.charge)
      case "lapse":
        return this.lapse(step.result)
    }
  }

  private async send(slot: Slot, items: Item[]): Promise<void> {
    const sent = slot.gateway.prepare(items.map((item) => this.itemOf(item)))
    const { status, outcomes } = await sent.again()
    const batch = this.model.decide(items)
    expect<string>(status).toBe("done")
    this.noteHolds(outcomes)
    expect<object[]>(outcomes).toMatchObject(batch.answers.map((answer) => this.outcomeOf(answer)))
    slot.last = { batch, sent, isRevoked: false }
  }

  private async bar(slot: Slot, items: Item[]): Promise<void> {
    const late = slot.gateway.prepare(items.map((item) => this.itemOf(item)))
    expect(await late.revoke()).toBe("barred")
    expect((await late.again()).status).toBe("barred")
    slot.last = null
  }

  private async again({ last }: Slot): Promise<void> {
    if (last === null) return
    const { status, outcomes } = await last.sent.again()
    if (last.isRevoked) return expect(status).toBe("barred")
    const answers = last.batch.answers.map((answer) => this.outcomeOf(answer))
    expect<object[]>(outcomes).toMatchObject(answers)
  }

  private async revoke({ last }: Slot): Promise<void> {
    if (last === null) return
    expect(await last.sent.revoke()).toBe("revoked")
    this.model.revoke(last.batch)
    last.isRevoked = true
  }

  private async sweep(): Promise<void> {
    const { holds, clockMs } = this.model
    const due = [...holds.keys()].filter((place) => {
      const hold = holds[place]
      return hold?.state === "open" && hold.expiresAtMs <= clockMs
    })
    const items = due.map((hold) => ({ verb: "void", hold, isExpiry: true, key: null }) as const)
    const { outcomes } = await this.sweeper.send(items.map((item) => this.itemOf(item)))
    const { answers } = this.model.decide(items)
    expect<object[]>(outcomes).toMatchObject(answers.map((answer) => this.outcomeOf(answer)))
  }

  private async credit(place: number, amountFen: number): Promise<void> {
    const number = at(this.model.accounts, place).instruction + 1
    const order = instruction({ number, amountFen: fen(amountFen) })
    const reply = await apply(this.scripts, at(this.ids, place), { instructions: [order] })
    const told = this.model.credit(place, amountFen)
    expect(typeof reply === "string" ? reply : "applied").toBe(told)
  }

  private async reverse(any: number): Promise<void> {
    const charge = this.model.charges[any % this.model.charges.length]
    if (charge === undefined) return
    const { account, seq, amountFen } = charge
    const number = at(this.model.accounts, account).instruction + 1
    const order = reversalOf(at(this.ids, account), { number, seq, amountFen })
    const reply = await apply(this.scripts, at(this.ids, account), { instructions: [order] })
    const told = this.model.instructReversal(charge)
    expect(typeof reply === "string" ? reply : "applied").toBe(told)
  }

  /** A call that runs has ended long before its result would lapse. */
  private async lapse(any: number): Promise<void> {
    const kept = [...this.model.results].filter(([, { state }]) => state !== "running")
    const [name] = kept[any % kept.length] ?? []
    if (name === undefined) return
    this.model.results.delete(name)
    await this.scripts.redis.del(resultKeyOf(this.digestOf(name)))
  }

  /** Balances, holds, budgets and results, as the model has them. */
  async compare(): Promise<void> {
    const { accounts, counters, holds, results } = this.model
    const names = [...this.names]
    const keys = [
      ...this.ids.map(keyOf),
      ...this.keyIds.map((keyId) => counterKey(0, 1, keyId)),
      ...this.holdIds.map(holdKeyOf),
      ...names.map((name) => resultKeyOf(this.digestOf(name))),
    ]
    const found = await this.scripts.redis.mgetBuffer(...keys)
    const next = (count: number) => found.splice(0, count)
    const states = next(this.ids.length).map((bytes) => bytes && decodeAccount(bytes))
    expect<unknown>(states).toEqual(accounts.map((account) => ({ ...account, limits: undefined })))
    const counted = next(this.keyIds.length).map((bytes) => bytes && decodeCounter(bytes))
    expect<unknown>(counted).toMatchObject(counters)
    const open = next(this.holdIds.length).map((bytes) => bytes && decodeHold(bytes))
    expect(open.map((hold) => hold?.state ?? "gone")).toEqual(holds.map(({ state }) => state))
    const inUse = open.map((hold) => (hold?.state === "open" ? hold.amountFen : 0))
    expect(inUse).toEqual(holds.map((hold) => (hold.state === "open" ? hold.amountFen : 0)))
    const kept = found.map((bytes) => bytes && decodeResult(bytes))
    const expected = names.map((name) => {
      const result = results.get(name)
      if (result === undefined) return null
      const { state, told, maker } = result
      return { state, told: told.length, isOrphaned: maker === null }
    })
    const short = kept.map((r) => r && { state: r.state, told: r.told, isOrphaned: r.isOrphaned })
    expect<unknown>(short).toEqual(expected)
    for (const { balanceFen, heldFen } of accounts) {
      expect(heldFen).toBeGreaterThanOrEqual(0)
      expect(balanceFen).toBeGreaterThanOrEqual(heldFen)
    }
  }

  /** At the end: the stream alone tells each balance, and open holds alone are listed and kept. */
  async audit(): Promise<void> {
    const { redis } = this.scripts
    const entries = await this.scripts.entries(this.begin)
    const balances = this.initial.map(({ balanceFen, seq }) => ({ balanceFen, seq }))
    for (const record of entries.flatMap(({ records }) => records)) {
      if (record.type === 0) continue
      const balance = at(balances, this.ids.indexOf(record.accountId))
      const { seq, balanceBeforeFen, balanceAfterFen, amountFen, type } = record
      expect<number[]>([seq, balanceBeforeFen]).toEqual([balance.seq + 1, balance.balanceFen])
      const moved = balanceAfterFen - balanceBeforeFen
      expect<number>(type === 1 ? moved : 0 - moved).toBe(amountFen)
      balance.seq = seq
      balance.balanceFen = balanceAfterFen
    }
    expect(balances).toEqual(
      this.model.accounts.map(({ balanceFen, seq }) => ({ balanceFen, seq })),
    )
    expect((await this.scripts.meta()).written - this.begin.written).toBe(this.model.records)
    await Promise.all(
      this.model.holds.map(async (hold, place) => {
        const key = holdKeyOf(at(this.holdIds, place))
        const score = redis.zscore("{p0}:1:holds", key.slice(-32))
        const leftMs = await redis.pttl(key)
        expect(await score).toBe(hold.state === "open" ? String(hold.expiresAtMs) : null)
        const isKept = hold.state === "open" ? leftMs === -1 : leftMs > 0 || leftMs === -2
        expect([hold.state, leftMs, isKept]).toEqual([hold.state, leftMs, true])
      }),
    )
  }

  /** What a client can ask: a hold that is there, and one whose call was forwarded without a key. */
  private itemsOf(seeds: ItemSeed[]): Item[] {
    return seeds.flatMap((seed): Item[] => {
      if (seed.verb === "repeat") return this.keyed.slice(seed.of % this.keyed.length).slice(0, 1)
      const { verb, account, amountFen, authVersion, key, ttlMs, isForwarded } = seed
      const spending = { account, amountFen, authVersion, key }
      if (verb === "charge") return [{ verb, ...spending }]
      if (verb === "hold") return [{ verb, ...spending, ttlMs, isForwarded }]
      const hold = seed.hold % this.model.holds.length
      const found = this.model.holds[hold]
      if (found === undefined) return []
      const named = { hold, key: found.isForwarded ? null : key }
      if (verb === "void") return [{ verb, ...named, isExpiry: false }]
      return [{ verb, ...named, amountFen: seed.isWhole ? null : amountFen }]
    })
  }

  private itemOf(item: Item): ItemOf {
    const name = nameOf(item)
    if (name !== null) {
      this.names.add(name)
      this.keyed.push(item)
    }
    const fingerprint = fingerprintOf(item)
    const digest = name === null ? "" : this.digestOf(name)
    const once = { fingerprint, isOnce: isOnce(item) }
    const asked = name === null ? {} : { idempotency: keyed(digest, once) }
    if (item.verb === "void") {
      return {
        verb: "void",
        holdId: at(this.holdIds, item.hold),
        isExpiry: item.isExpiry,
        ...asked,
      }
    }
    if (item.verb === "capture") {
      const amount = item.amountFen === null ? {} : { amountFen: item.amountFen }
      return { verb: "capture", holdId: at(this.holdIds, item.hold), ...amount, ...asked }
    }
    const { account, amountFen, authVersion } = item
    const { limits } = at(this.model.accounts, account)
    const spending = { accountId: at(this.ids, account), amountFen, authVersion, ...asked }
    const limited = limits === null ? {} : { limits: limitsOf(at(this.keyIds, account), limits) }
    if (item.verb === "charge") return { ...spending, ...limited }
    const { ttlMs, isForwarded: isInternal } = item
    return { verb: "hold", ...spending, ...limited, ttlMs, isInternal }
  }

  private noteHolds(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      if (outcome.status === "held" && !outcome.isReplay) this.holdIds.push(outcome.holdId)
    }
  }

  private outcomeOf({ hold, ...answer }: Answer): object {
    return hold === undefined ? answer : { ...answer, holdId: at(this.holdIds, hold) }
  }

  private digestOf(name: string): string {
    return `${this.prefix}${name.replace(".", "_")}`.padEnd(16, "-")
  }

  private slotAt(place: number): Slot {
    return at(this.slots, place)
  }
}

function at<Value>(values: readonly Value[], place: number): Value {
  const value = values[place]
  if (value === undefined) throw new Error(`nothing has the place ${place}`)
  return value
}
