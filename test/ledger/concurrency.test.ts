import { expect, setDefaultTimeout, test } from "bun:test"
import { newAccountId } from "../../src/ids.ts"
import { createLedger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { chargeOf, detailsOf } from "../support/details.ts"
import { failureOf } from "../support/failure.ts"
import { ready, useLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

const ledger = useLedger()

test("2,000 parallel charges through two gateways on 1,000 fen: 1,000 are accepted, 1,000 refused", async () => {
  const { openAccount, pay, ledger: left, stores } = ledger()
  const right = await createLedger({
    ...{ redisUrl: stores.redisUrl, sql: stores.sql, dataDir: stores.dataDir },
    onBatch: () => undefined,
    log: () => undefined,
  })
  await ready(right)
  const accountId = await openAccount({ balanceFen: 1_000 })
  const outcomes = await Promise.all(
    Array.from({ length: 2_000 }, (_, i) =>
      (i % 2 === 0 ? left : right).charge(
        chargeOf({ accountId, amountFen: fen(1), details: detailsOf({ requestId: `r${i}` }) }),
      ),
    ),
  )
  await right.stop()
  const accepted = outcomes.flatMap((outcome) =>
    outcome.status === "accepted" ? [outcome.seq] : [],
  )
  const refused = outcomes.filter(({ status }) => status === "insufficient_balance").length
  // Where the machine stalled, a charge was answered 503 and put back: what it left is there still.
  const unanswered = outcomes.filter(({ status }) => status === "unavailable").length
  for (
    let more = await pay(accountId, 1);
    more.status === "accepted";
    more = await pay(accountId, 1)
  ) {
    accepted.push(more.seq)
  }
  expect(accepted.length).toBe(1_000)
  expect(new Set(accepted).size).toBe(1_000)
  expect(Math.abs(refused - 1_000)).toBeLessThanOrEqual(unanswered)
  expect((await ledger().books()).balancesFen).toBe(0)
})

test("a hot account and a thousand cold ones are charged beside each other", async () => {
  const { openAccount, pay } = ledger()
  const hot = await openAccount({ balanceFen: 500 })
  const cold = await Promise.all(Array.from({ length: 40 }, () => openAccount({ balanceFen: 25 })))
  const charges = cold.flatMap((accountId) => Array.from({ length: 25 }, () => accountId))
  const outcomes = await Promise.all(
    charges.flatMap((accountId, i) =>
      i % 2 === 0 ? [pay(accountId, 1), pay(hot, 1)] : [pay(accountId, 1)],
    ),
  )
  expect(outcomes.filter(({ status }) => status !== "accepted")).toEqual([])
  for (const accountId of [hot, ...cold]) {
    expect(await ledger().ledger.readAccount(accountId)).toMatchObject({
      account: { balanceFen: 0 },
    })
  }
})

test("an account that was never opened is unknown, to a charge and to a reader", async () => {
  const { charge, ledger: gateway } = ledger()
  const accountId = newAccountId()
  expect(await charge(accountId, 1)).toEqual({ status: "account_unknown", rate: null })
  expect(await gateway.readAccount(accountId)).toEqual({ status: "unknown" })
  expect(await gateway.applyPending(accountId)).toEqual({ status: "unavailable" })
})

test("an amount of nothing, or above the largest, never reaches the script", async () => {
  const { openAccount, ledger: gateway, redis } = ledger()
  const accountId = await openAccount({ balanceFen: 5 })
  const before = await redis.getBuffer("{p0}:meta")
  for (const amount of [0, 90_000_000_000_001]) {
    const item = chargeOf({ accountId, amountFen: fen(amount) })
    expect(await failureOf(gateway.charge(item))).toContain("not an amount to move")
  }
  for (const amount of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    expect(() => fen(amount)).toThrow("not an amount in fen")
  }
  expect((await redis.getBuffer("{p0}:meta"))?.subarray(14)).toEqual(before?.subarray(14))
})
