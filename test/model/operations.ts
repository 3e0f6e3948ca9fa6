import fc from "fast-check"
import type { Fault } from "./system.ts"

/** What may happen, at random. Accounts, keys, holds and requests before are named by any number. */

type Spending = {
  gateway: number
  account: number
  amountFen: number
  /** With a key that was revoked, or that nobody has issued yet. */
  isStale: boolean
  key: number | null
}

export type Operation =
  | ({ verb: "charge" } & Spending)
  /** Charges of one request: so many, one after the other. */
  | ({ verb: "batch"; count: number } & Spending)
  | ({ verb: "hold"; ttlMs: number; isForwarded: boolean } & Spending)
  | {
      verb: "capture"
      gateway: number
      hold: number
      amountFen: number | null
      key: number | null
    }
  | { verb: "void"; gateway: number; hold: number; key: number | null }
  /** A client that comes again with its key; or with its key and another amount. */
  | { verb: "retry"; gateway: number; of: number; isOther: boolean }
  | { verb: "credit"; gateway: number; account: number; amountFen: number }
  /** All keys of the account are dead from then on, and it has new ones. */
  | { verb: "revoke"; gateway: number; account: number }

/** Operations that both gateways are asked at once, and what goes wrong `afterMs`. */
export type Step = {
  operations: Operation[]
  /** So many of them begin in one turn. */
  wave: number
  fault: Fault | null
  afterMs: number
}

export type Scenario = { balancesFen: number[]; steps: Step[] }

/** `operations`: how many a step has at most; of `faultsOneIn` steps one has a fault. */
export type Shape = { steps: number; operations: number; faultsOneIn: number }

export const ACCOUNTS = 4
const DAY_MS = 86_400_000
/** An order has to be found of what was not answered. */
const STRUCK_MAX = 60

const any = fc.nat({ max: 9_999 })
const gateway = fc.nat({ max: 1 })
const account = fc.nat({ max: ACCOUNTS - 1 })
const amountFen = fc.integer({ min: 1, max: 40 })
const key = fc.option(fc.nat({ max: 39 }), { freq: 2 })
const ttlMs = fc.constantFrom(1, 40, 400, DAY_MS, DAY_MS, DAY_MS)
const spending = { gateway, account, amountFen, isStale: oneIn(30), key }

const operation: fc.Arbitrary<Operation> = fc.oneof(
  often(10, { verb: fc.constant("charge"), ...spending }),
  often(1, { verb: fc.constant("batch"), ...spending, count: fc.integer({ min: 2, max: 12 }) }),
  often(6, { verb: fc.constant("hold"), ...spending, ttlMs, isForwarded: fc.boolean() }),
  often(5, {
    verb: fc.constant("capture"),
    ...{ gateway, hold: any, key },
    amountFen: fc.option(amountFen, { freq: 2 }),
  }),
  often(2, { verb: fc.constant("void"), gateway, hold: any, key }),
  often(6, { verb: fc.constant("retry"), gateway, of: any, isOther: oneIn(9) }),
  often(1, {
    verb: fc.constant("credit"),
    ...{ gateway, account },
    amountFen: fc.integer({ min: 1, max: 400 }),
  }),
)

const revoke = fc.record({ verb: fc.constant("revoke" as const), gateway, account })
const operationOrRevoke = fc.oneof({ weight: 300, arbitrary: operation }, revoke)

const fault: fc.Arbitrary<Fault> = fc.oneof(
  often(6, {
    fault: fc.constantFrom("cut", "cut_before_reply", "late_reply", "late_request"),
    gateway,
  }),
  often(3, { fault: fc.constantFrom("kill_gateway", "replace_gateway"), gateway }),
  often(4, {
    fault: fc.constantFrom(
      ...(["kill_flusher", "kill_keeper", "kill_redis", "kill_postgres"] as const),
      ...(["kill_keeper_and_redis", "freeze_redis", "forget_scripts"] as const),
    ),
  }),
  often(1, { fault: fc.constantFrom("wipe", "wipe_and_restart") }),
)

export function scenario({ steps, operations, faultsOneIn }: Shape): fc.Arbitrary<Scenario> {
  const step = (afflicted: fc.Arbitrary<Fault | null>, maxLength: number) =>
    fc.record({
      operations: fc.array(operationOrRevoke, { maxLength, size: "max" }),
      wave: fc.integer({ min: 1, max: 60 }),
      fault: afflicted,
      afterMs: fc.nat({ max: 12 }),
    })
  const quiet = step(fc.constant(null), operations)
  const struck = step(fault, Math.min(operations, STRUCK_MAX))
  const either = fc.oneof({ weight: faultsOneIn - 1, arbitrary: quiet }, struck)
  return fc.record({
    balancesFen: fc.array(fc.nat({ max: 3_000 }), { minLength: ACCOUNTS, maxLength: ACCOUNTS }),
    steps: fc.array(either, { minLength: 1, maxLength: steps, size: "max" }),
  })
}

function often<Fields>(
  weight: number,
  fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> },
) {
  return { weight, arbitrary: fc.record(fields) }
}

/** True so seldom; shrinks to false. */
function oneIn(times: number): fc.Arbitrary<boolean> {
  return fc.nat({ max: times - 1 }).map((drawn) => drawn === times - 1)
}
