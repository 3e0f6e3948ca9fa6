import { expect, test } from "bun:test"
import type { AccountId } from "../../src/ids.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { startSystem } from "../support/system.ts"
import { chargeOnce, reversalsOf, withReversals } from "./reversals.ts"

async function expectBalance({ ledger }: TestLedger, accountId: AccountId, balanceFen: number) {
  const outcome = await ledger.readAccount(accountId)
  expect(outcome).toMatchObject({ account: { balanceFen } })
}

test("503: a charge that Postgres does not have yet is not reversed, and later it is", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const { accountId, chargeId: id } = await chargeOnce(t)
    await withReversals(t, async (reverse) => {
      expect(await reverse(id)).toEqual({ status: "not_flushed" })
      expect(await t.stores.sql`select from reversals`).toHaveLength(0)
      await expectBalance(t, accountId, 70)
      const flusher = await t.startFlusher()
      expect(await reverse(id)).toMatchObject({ status: "reversed", record: { amountFen: 30 } })
      await expectBalance(t, accountId, 100)
      await t.books()
      await flusher.stop()
    })
  })
})

test("503: with Redis away a reversal is recorded, and carried out by itself when it is back", async () => {
  const system = await startSystem()
  const { makeService, reverse } = reversalsOf(() => system)
  const { key } = await makeService()
  const developer = await newDeveloper(system, { balanceFen: 10 })
  const { chargeId: id } = (await developer.charge({ quantity: 10 })).body
  await eventually(async () => {
    expect((await developer.get("/v1/changes")).body.items).toHaveLength(2)
  })

  await system.stores.killRedis()
  const sent = { key, headers: { "idempotency-key": "once" } }
  const recorded = await reverse(id, sent)
  expect([recorded.status, recorded.body.code]).toEqual([503, "billing_unavailable"])
  expect(recorded.headers.get("retry-after")).toBe("1")
  expect(recorded.body.detail).toStartWith("The reversal is recorded and will be carried out.")
  expect((await reverse(id, { key })).body.code).toBe("already_reversed")
  expect((await reverse(id, sent)).status).toBe(503)

  await system.stores.restartRedis()
  await eventually(async () => expect((await developer.balance()).body.balanceFen).toBe(10))
  const answered = await eventually(async () => {
    const answer = await reverse(id, sent)
    return answer.status === 200 && answer
  })
  expect(answered).toMatchObject({ body: { kind: "reversal", amountFen: 10, sourceId: id } })
  expect((await developer.balance()).body.balanceFen).toBe(10)
  await system.booksBalance()
  await system.stop()
}, 60_000)
