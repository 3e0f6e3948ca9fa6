import fc from "fast-check"
import type { Account } from "./model.ts"

/** What may happen to a partition, at random. Holds, charges and results are named by any number. */

export type ItemSeed = NewItem | { verb: "repeat"; of: number }

type NewItem = {
  verb: "charge" | "hold" | "capture" | "void"
  account: number
  amountFen: number
  authVersion: number
  key: number | null
  ttlMs: number
  isForwarded: boolean
  hold: number
  isWhole: boolean
}

export type Step =
  | { step: "send"; slot: number; items: ItemSeed[] }
  /** Revokes a batch that was never sent; then it comes. */
  | { step: "bar"; slot: number; items: ItemSeed[] }
  | { step: "again"; slot: number }
  | { step: "revoke"; slot: number }
  | { step: "wait"; ms: number }
  /** Voids all holds whose time is over. */
  | { step: "sweep" }
  | { step: "credit"; account: number; amountFen: number }
  /** An instruction that reverses a charge. */
  | { step: "reverse"; charge: number }
  /** The time is over for which a result is kept. */
  | { step: "lapse"; result: number }

export const ACCOUNTS = 3
export const SLOTS = 3

const LARGEST = 90_000_000_000_000
const amountFen = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(4_294_967_296, LARGEST - 1, LARGEST) },
)

export const account: fc.Arbitrary<Account> = fc.record({
  balanceFen: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 200 }) },
    { weight: 1, arbitrary: fc.constantFrom(LARGEST, 4_503_599_627_370_400) },
  ),
  heldFen: fc.constant(0),
  seq: fc.constantFrom(0, 1, 4_294_967_295, 999_999_999_999_999),
  instruction: fc.constant(1),
  authVersion: fc.constantFrom(1, 1, 1, 1, 2),
  status: fc.constantFrom("open", "open", "open", "open", "frozen", "closed"),
  limits: fc.option(
    fc.record({
      dailyFen: fc.constantFrom(40, 100, 1_000),
      totalFen: fc.constantFrom(60, 300, 4_000_000_000_000_000),
    }),
  ),
})

const place = fc.nat({ max: 1_000 })
const newItem: fc.Arbitrary<NewItem> = fc.record({
  verb: fc.constantFrom("charge", "charge", "hold", "hold", "capture", "capture", "void"),
  account: fc.nat({ max: ACCOUNTS - 1 }),
  amountFen,
  authVersion: fc.constantFrom(1, 1, 1, 1, 1, 2),
  key: fc.option(fc.nat({ max: 1 }), { freq: 3 }),
  ttlMs: fc.constantFrom(1, 60_000, 86_400_000, 86_400_000),
  isForwarded: fc.boolean(),
  hold: place,
  isWhole: fc.boolean(),
})
/** Of a request with a key, as its client repeats it. */
const repeat: fc.Arbitrary<ItemSeed> = fc.record({ verb: fc.constant("repeat"), of: place })
const item = fc.oneof({ weight: 3, arbitrary: newItem }, { weight: 2, arbitrary: repeat })

const slot = fc.nat({ max: SLOTS - 1 })
const items = fc.array(item, { minLength: 1, maxLength: 6 })
const send: fc.Arbitrary<Step> = fc.record({ step: fc.constant("send"), slot, items })
const revoke: fc.Arbitrary<Step> = fc.record({ step: fc.constant("revoke"), slot })

export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: send },
  { weight: 6, arbitrary: revoke },
  { weight: 1, arbitrary: fc.record({ step: fc.constant("bar"), slot, items }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant("again"), slot }) },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant("wait"),
      ms: fc.constantFrom(1, 60_000, 43_200_000, 86_400_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ step: fc.constant("sweep") }) },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant("credit"),
      account: fc.nat({ max: ACCOUNTS - 1 }),
      amountFen,
    }),
  },
  { weight: 2, arbitrary: fc.record({ step: fc.constant("reverse"), charge: place }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant("lapse"), result: place }) },
)
