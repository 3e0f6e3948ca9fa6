import { expect, setDefaultTimeout, test } from "bun:test"
import { eventually } from "../support/eventually.ts"
import { withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/**
 * A Postgres that lost its last moments, and no flush among them: an instruction that Redis has carried out
 * is not there any more. Nobody can tell it from the watermark.
 */
test("an instruction that Postgres has forgotten comes back with its record, and its number is not given again", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const flusher = await t.startFlusher()
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await flusher.stop()
    const { sql } = t.stores
    const credit = await t.instruct(accountId, { kind: "redemption", amountFen: 30 })
    const raised = await t.instruct(accountId, { kind: "auth_version", authVersion: 7 })
    expect([credit.number, raised.number]).toEqual([3, 4])
    await t.ledger.applyPending(accountId)
    await sql`delete from instructions where account_id = ${accountId} and number > 2`
    await sql`update accounts set last_instruction = 2 where id = ${accountId}`

    const again = await t.startFlusher()
    await eventually(async () => {
      const [account] = await sql`
        select last_instruction, auth_version from accounts where id = ${accountId}
      `
      expect({ ...account }).toEqual({ last_instruction: 4, auth_version: 7 })
    })
    const next = await t.instruct(accountId, { kind: "redemption", amountFen: 5, authVersion: 7 })
    expect(next.number).toBe(5)
    expect(await t.ledger.applyPending(accountId)).toMatchObject({
      ...{ status: "applied", account: { balanceFen: 135, instruction: 5, authVersion: 7 } },
    })
    await t.books()
    await again.stop()
  })
})
