import { expect, setDefaultTimeout, test } from "bun:test"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

test("holds are voided at their end also where Redis was built anew since the sweep began, with the same scripts", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    // Scripts outlive it, so that nothing tells a process which sends nothing.
    await t.redis.flushall()
    const held = await eventually(async () => {
      const charge = chargeOf({ accountId, amountFen: fen(40) })
      const outcome = await t.ledger.hold({ ...charge, ttlMs: 300, isInternal: false })
      return outcome.status === "held"
    })
    expect(held).toBe(true)
    await eventually(async () => {
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { heldFen: 0 } })
    })
  })
})
