import { expect, setDefaultTimeout, test } from "bun:test"
import { fen } from "../../src/money.ts"
import { recomputeBooks } from "../../src/reconcile/recompute.ts"
import { chargeOf } from "../support/details.ts"
import { chargeMany } from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { giveInRedis } from "./tampering.ts"

setDefaultTimeout(60_000)

/** The books can be recomputed at any moment: nothing that moves is taken for a difference. */

const storesOf = ({ stores, nodes }: TestLedger) => ({ sql: stores.sql, redis: nodes })

/** Calls of every kind, one after another on each account, until it is told to stop. */
function startCalls(t: TestLedger, accounts: readonly Awaited<ReturnType<typeof t.openAccount>>[]) {
  let isStopping = false
  let calls = 0
  const running = accounts.map(async (accountId, i) => {
    const hold = () => ({
      ...chargeOf({ accountId, amountFen: fen(3) }),
      ttlMs: 60_000,
      isInternal: i % 2 === 0,
    })
    while (!isStopping) {
      calls++
      await Promise.all([t.pay(accountId, 1), t.pay(accountId, 2)])
      const held = await t.ledger.hold(hold())
      if (held.status !== "held") continue
      if (calls % 3 === 0) {
        await t.ledger.voidHold({ holdId: held.holdId, idempotency: null })
      } else {
        await t.ledger.capture({ holdId: held.holdId, amountFen: fen(2), idempotency: null })
      }
      if (calls % 50 === 0) {
        await t.instruct(accountId, { kind: "redemption", amountFen: 20 })
        await t.ledger.applyPending(accountId)
      }
    }
  })
  return {
    calls: () => calls,
    async stop() {
      isStopping = true
      await Promise.all(running)
    },
  }
}

test("while calls are charged, held, captured and credited, there is no finding and no drift", async () => {
  await withLedger({ partitions: 3 }, async (t) => {
    const accounts = await Promise.all(
      Array.from({ length: 12 }, () => t.openAccount({ balanceFen: 1_000_000 })),
    )
    const calling = startCalls(t, accounts)
    for (let round = 0; round < 25; round++) {
      const { findings, driftFen } = await recomputeBooks(storesOf(t))
      expect({ round, findings, driftFen }).toEqual({ round, findings: [], driftFen: 0 })
    }
    const calls = calling.calls()
    await calling.stop()
    expect(calls).toBeGreaterThan(100)
  })
})

test("what is not flushed yet counts, and a fen that it does not explain is a drift of its account", async () => {
  await withLedger({ flusher: false, partitions: 2 }, async (t) => {
    const accounts = [
      await t.openAccount({ balanceFen: 100, partition: 0 }),
      await t.openAccount({ balanceFen: 100, partition: 1 }),
    ]
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
    for (const accountId of accounts) await chargeMany(t, accountId, 20)
    expect(await recomputeBooks(storesOf(t))).toMatchObject({ findings: [], driftFen: 0 })

    const [accountId] = accounts
    if (accountId === undefined) throw new Error("there are two accounts")
    const restore = await giveInRedis(t, accountId, 7)
    const { drift, drifts, findings } = await recomputeBooks(storesOf(t))
    const detail =
      "Redis has 87 fen at record 21, instruction 2, auth version 1, open, its records make 80 fen at record 21, instruction 2, auth version 1, open"
    expect(findings).toEqual([`${accountId}: ${detail}`])
    expect(drifts).toEqual([{ accountId, partition: 0, driftFen: 7, detail }])
    expect(drift).toMatchObject({ redisFen: 7, recordsFen: 0, trialFen: 0 })
    await restore()
    const again = await t.startFlusher()
    await t.books()
    await again.stop()
  })
})

test("a partition that is fenced is a finding: nothing of it could be compared", async () => {
  await withLedger({ flusher: false }, async (t) => {
    await t.openAccount({ balanceFen: 100 })
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
    await t.stores.sql`update partitions set is_open = false`
    const { findings } = await recomputeBooks(storesOf(t))
    expect(findings).toEqual(["partition 0 is not open: its accounts were not compared with Redis"])
    await t.stores.sql`update partitions set is_open = true`
  })
})
