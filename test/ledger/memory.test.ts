import { expect, setDefaultTimeout, test } from "bun:test"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** Where Redis is short of memory, what would take more is refused first, and what gives back last. */

test("near maxmemory charges and holds are refused, captures and credits go on, and nothing is lost", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const item = chargeOf({ accountId, amountFen: fen(1) })
    const held = await t.ledger.hold({ ...item, ttlMs: 60_000, isInternal: false })
    if (held.status !== "held") throw new Error(`not held: ${held.status}`)
    const used = Number(/^used_memory:(\d+)/m.exec(await t.redis.info("memory"))?.[1])
    await t.redis.config("SET", "maxmemory", String(Math.floor(used / 0.9)))
    await eventually(async () => (await t.ledger.charge(item)).status === "unavailable")
    expect(await t.ledger.hold({ ...item, ttlMs: 1_000, isInternal: false })).toEqual({
      status: "unavailable",
    })
    expect(await t.ledger.health()).toMatchObject({ reasons: ["Redis is short of memory"] })
    const { holdId } = held
    const captured = await t.ledger.capture({ holdId, amountFen: null, idempotency: null })
    expect(captured).toMatchObject({ status: "accepted", amountFen: 1 })
    await t.instruct(accountId, { kind: "redemption", amountFen: 5 })
    expect(await t.ledger.applyPending(accountId)).toMatchObject({ status: "applied" })
    await t.redis.config("SET", "maxmemory", "0")
    await eventually(async () => (await t.ledger.charge(item)).status === "accepted")
    expect(t.log.filter((line) => line.includes("maxmemory"))).toHaveLength(2)
  })
})

test("out of memory everything is refused, at once, and goes on afterwards", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const item = chargeOf({ accountId, amountFen: fen(1) })
    expect(await t.ledger.charge(item)).toMatchObject({ status: "accepted", balanceFen: 99 })
    await t.redis.config("SET", "maxmemory", "1mb")
    const startedAt = performance.now()
    for (let n = 0; n < 20; n++) expect((await t.ledger.charge(item)).status).toBe("unavailable")
    expect(performance.now() - startedAt).toBeLessThan(5_000)
    await t.redis.config("SET", "maxmemory", "0")
    await eventually(async () => (await t.ledger.charge(item)).status === "accepted")
    expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 98 } })
  })
})
