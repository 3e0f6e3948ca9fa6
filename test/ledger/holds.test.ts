import { expect, setDefaultTimeout, test } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import type { HoldItem, HoldOutcome } from "../../src/ledger/items.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { type TestLedger, useLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** Money that is reserved first: it resolves once, whoever asks, and never stays reserved. */
const ledger = useLedger({ partitions: 2 })

test("what is held cannot be spent, and comes back when the hold is voided", async () => {
  const { openAccount, charge, ledger: gateway } = ledger()
  const accountId = await openAccount({ balanceFen: 10 })
  const { holdId } = await held(ledger(), accountId, 8)
  expect(await charge(accountId, 3)).toMatchObject({
    status: "insufficient_balance",
    balanceFen: 10,
    heldFen: 8,
  })
  expect(await gateway.voidHold({ holdId, idempotency: null })).toMatchObject({
    status: "voided",
    balanceFen: 10,
    heldFen: 0,
  })
  expect(await charge(accountId, 3)).toMatchObject({ status: "accepted", balanceFen: 7 })
})

test("a capture of less takes that much, gives back the rest, and is a change record of its own", async () => {
  const { openAccount, ledger: gateway, stores } = ledger()
  const accountId = await openAccount({ balanceFen: 10 })
  const { holdId } = await held(ledger(), accountId, 8)
  const captured = await gateway.capture({ holdId, amountFen: fen(5), idempotency: null })
  expect(captured).toMatchObject({
    status: "accepted",
    amountFen: 5,
    balanceFen: 5,
    heldFen: 0,
    details: expect.stringContaining("user.login"),
  })
  await eventually(async () => {
    const rows = await stores.sql`
      select kind, amount_fen::int as amount, interface, key_id from change_records
      where account_id = ${accountId} and kind = 'capture'
    `
    expect([...rows]).toEqual([
      { kind: "capture", amount: 5, interface: "user.login", key_id: "key_test" },
    ])
  })
})

test("of captures and voids that race for one hold, exactly one wins", async () => {
  const { openAccount, ledger: gateway } = ledger()
  for (let round = 0; round < 10; round++) {
    const accountId = await openAccount({ balanceFen: 10 })
    const { holdId } = await held(ledger(), accountId, 4)
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0
          ? gateway.capture({ holdId, amountFen: null, idempotency: null })
          : gateway.voidHold({ holdId, idempotency: null }),
      ),
    )
    const winners = outcomes.filter(({ status }) => status === "accepted" || status === "voided")
    const losers = outcomes.filter(({ status }) => status === "hold_already_resolved")
    expect([winners.length, losers.length]).toEqual([1, 19])
    const balanceFen = winners[0]?.status === "accepted" ? 6 : 10
    expect(await gateway.readAccount(accountId)).toMatchObject({
      account: { balanceFen, heldFen: 0 },
    })
  }
})

test("a hold that nobody resolves is voided by the system, and cannot be captured afterwards", async () => {
  const { openAccount, ledger: gateway } = ledger()
  const accountId = await openAccount({ balanceFen: 10 })
  const { holdId } = await held(ledger(), accountId, 10, { ttlMs: 1 })
  await eventually(async () => {
    expect(await gateway.readAccount(accountId)).toMatchObject({ account: { heldFen: 0 } })
  })
  expect(await gateway.capture({ holdId, amountFen: null, idempotency: null })).toEqual({
    status: "hold_expired",
  })
})

test("a thousand holds of gateways that died are all voided, and leave no key behind", async () => {
  const { openAccount, ledger: gateway, redis } = ledger()
  const accountId = await openAccount({ balanceFen: 5_000 })
  const options = { ttlMs: 1, isInternal: true }
  await Promise.all(Array.from({ length: 1_200 }, () => held(ledger(), accountId, 2, options)))
  await eventually(async () => {
    expect(await gateway.readAccount(accountId)).toMatchObject({
      account: { balanceFen: 5_000, heldFen: 0 },
    })
  })
  expect(await redis.keys(`*:h:${accountId.slice(5)}*`)).toEqual([])
  expect(await redis.zcard("{p0}:1:holds")).toBe(0)
  expect(await redis.zcard("{p1}:1:holds")).toBe(0)
})

test("holds on ten fen by a hundred callers at once reserve ten", async () => {
  const { openAccount, ledger: gateway } = ledger()
  const accountId = await openAccount({ balanceFen: 10 })
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, () => gateway.hold(holdOf(accountId, 1))),
  )
  expect(outcomes.filter(({ status }) => status === "held")).toHaveLength(10)
  expect(await gateway.readAccount(accountId)).toMatchObject({ account: { heldFen: 10 } })
})

test("a hold id that is none, or of nobody's hold, is not found", async () => {
  const { ledger: gateway } = ledger()
  for (const holdId of [
    "",
    "hold_1",
    `hold_${"0".repeat(32)}.1`,
    "chg_0000000000000000_202611_1",
  ]) {
    expect(await gateway.capture({ holdId, amountFen: null, idempotency: null })).toEqual({
      status: "hold_not_found",
    })
    expect(await gateway.voidHold({ holdId, idempotency: null })).toEqual({
      status: "hold_not_found",
    })
  }
})

function holdOf(
  accountId: AccountId,
  amountFen: number,
  options: Partial<HoldItem> = {},
): HoldItem {
  return {
    ...chargeOf({ accountId, amountFen: fen(amountFen) }),
    ttlMs: 60_000,
    isInternal: false,
    ...options,
  }
}

/** A hold as a client makes it, who comes again when he is told 503. */
async function held(
  { ledger: gateway }: TestLedger,
  accountId: AccountId,
  amountFen: number,
  options: Partial<HoldItem> = {},
): Promise<Extract<HoldOutcome, { status: "held" }>> {
  const outcome = await eventually(async () => {
    const answer = await gateway.hold(holdOf(accountId, amountFen, options))
    return answer.status !== "unavailable" && answer
  })
  if (outcome === false || outcome.status !== "held") throw new Error(JSON.stringify(outcome))
  return outcome
}
