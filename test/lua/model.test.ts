import { afterAll, beforeAll, expect, test } from "bun:test"
import fc from "fast-check"
import type { AccountId } from "../../src/ids.ts"
import type { ChargeOutcome } from "../../src/ledger/items.ts"
import type { AccountStatus } from "../../src/ledger/records.ts"
import { type BatchOf, keyOf, type Scripts, startScripts } from "../support/scripts.ts"

/**
 * charge.lua and revoke.lua against twenty lines that say what they are for. A failure prints its
 * seed and the smallest sequence of calls that shows it.
 */
let scripts: Scripts
beforeAll(async () => {
  scripts = await startScripts()
})
afterAll(() => scripts.stop())

type Account = {
  balanceFen: number
  heldFen: number
  seq: number
  authVersion: number
  status: AccountStatus
}
type Item = { account: number; amountFen: number; authVersion: number }
type Step = { step: "charge" | "repeat" | "skip" | "lower" | "revoke"; items: Item[] }
type Answer = Partial<ChargeOutcome> & { status: string }
type Taken = { account: number; amountFen: number }

/** What a slot and its accounts do, without packing, numbering of entries, or Redis. */
class Model {
  decided = 0
  isRevoked = true
  answers: Answer[] = []
  taken: Taken[] = []
  records = 0
  /** Of the last batch. */
  items: Item[] = []
  readonly accounts: (Account | null)[]

  constructor(accounts: (Account | null)[]) {
    this.accounts = accounts
  }

  charge(items: Item[]): Answer[] {
    this.decided++
    this.items = items
    this.isRevoked = false
    this.taken = []
    this.answers = items.map((item) => this.decide(item))
    return this.answers
  }

  revoke(): void {
    for (const { account, amountFen } of this.isRevoked ? [] : this.taken) {
      const state = this.accounts[account]
      if (!state) throw new Error("the model charged nobody")
      state.balanceFen += amountFen
      state.seq++
      this.records++
    }
    this.isRevoked = true
  }

  private decide({ account, amountFen, authVersion }: Item): Answer {
    const state = this.accounts[account]
    if (!state) return { status: "account_unknown" }
    if (state.status === "frozen") return { status: "account_frozen" }
    if (state.status === "closed") return { status: "account_closed" }
    if (state.authVersion !== authVersion)
      return { status: "auth_changed", authVersion: state.authVersion }
    if (state.balanceFen - state.heldFen < amountFen) return { status: "insufficient_balance" }
    state.balanceFen -= amountFen
    state.seq++
    this.records++
    this.taken.push({ account, amountFen })
    return { status: "accepted", seq: state.seq }
  }
}

const amount = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(4_294_967_295, 4_294_967_296, 90_000_000_000_000) },
)
const account: fc.Arbitrary<Account | null> = fc.option(
  fc.record({
    balanceFen: fc.oneof(
      fc.integer({ min: 0, max: 120 }),
      fc.constantFrom(90_000_000_000_000, 999_999_999_999_999),
    ),
    heldFen: fc.integer({ min: 0, max: 30 }),
    seq: fc.constantFrom(0, 1, 4_294_967_295, 999_999_999_999_999),
    authVersion: fc.constantFrom(1, 1, 1, 2),
    status: fc.constantFrom<AccountStatus>("open", "open", "open", "open", "frozen", "closed"),
  }),
  { freq: 8 },
)
const item = fc.record({
  account: fc.nat({ max: 3 }),
  amountFen: amount,
  authVersion: fc.constantFrom(1, 1, 1, 2),
})
const step: fc.Arbitrary<Step> = fc.record({
  step: fc.constantFrom("charge", "charge", "charge", "repeat", "skip", "lower", "revoke"),
  items: fc.array(item, { minLength: 1, maxLength: 12 }),
})

test("charge and revoke do what the model does, for every sequence of calls", async () => {
  const property = fc.asyncProperty(
    fc.array(account, { minLength: 4, maxLength: 4 }),
    fc.array(step, { minLength: 1, maxLength: 12 }),
    async (accounts, steps) => {
      const places = accounts.map((state) =>
        state ? { ...state, heldFen: Math.min(state.heldFen, state.balanceFen) } : null,
      )
      const ids = await Promise.all(places.map((state) => scripts.put(state ?? {})))
      const absent = ids.filter((_, i) => places[i] === null)
      await Promise.all(absent.map((id) => scripts.redis.del(keyOf(id))))
      await follow(new Model(places), ids, steps)
    },
  )
  await fc.assert(property, { numRuns: 300 })
})

/** Carries out the steps on both, and compares every answer, and what is left at the end. */
async function follow(model: Model, ids: AccountId[], steps: Step[]): Promise<void> {
  const slot = await scripts.openSlot()
  const { written } = await scripts.meta()
  for (const { step, items } of steps) await STEPS[step]({ model, ids, slot, items })
  for (const [i, state] of model.accounts.entries()) {
    if (state) expect(await scripts.state(idOf(ids, i))).toMatchObject(state)
  }
  expect((await scripts.meta()).written - written).toBe(model.records)
}

type Turn = { model: Model; ids: AccountId[]; slot: string; items: Item[] }

const STEPS: Record<Step["step"], (turn: Turn) => Promise<void>> = {
  async charge(turn) {
    const outcomes = turn.model.charge(turn.items)
    const decided = await scripts.decide(callOf(turn, turn.model.decided))
    expect(decided).toMatchObject({ status: "done", outcomes })
  },
  async repeat(turn) {
    const { model } = turn
    const decided = await scripts.decide(callOf({ ...turn, items: model.items }, model.decided))
    if (model.isRevoked) expect(decided.status).toBe("barred")
    else expect(decided).toMatchObject({ status: "done", outcomes: model.answers })
  },
  async skip(turn) {
    expect((await scripts.decide(callOf(turn, turn.model.decided + 2))).status).toBe("ahead")
  },
  async lower(turn) {
    expect((await scripts.decide(callOf(turn, turn.model.decided - 1))).status).toBe("barred")
  },
  async revoke(turn) {
    const { model } = turn
    model.revoke()
    expect(await scripts.revoke(callOf({ ...turn, items: model.items }, model.decided))).toBe(
      "revoked",
    )
  },
}

function callOf({ ids, slot, items }: Turn, batch: number): BatchOf {
  return {
    ...{ slot, batch },
    items: items.map(({ account, ...item }) => ({ accountId: idOf(ids, account), ...item })),
  }
}

function idOf(ids: readonly AccountId[], place: number): AccountId {
  const id = ids[place]
  if (id === undefined) throw new Error("the model has four accounts")
  return id
}
