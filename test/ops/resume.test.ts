import { expect, setDefaultTimeout, test } from "bun:test"
import { readStop } from "../../db/queries/read-stop.ts"
import { eventually } from "../support/eventually.ts"
import { alarmsOf, chargeMany } from "../support/flushing.ts"
import { withLedger } from "../support/ledger.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(60_000)

test("a partition that was stopped goes on when it is told, not before, and the act is audited", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    const shift = (by: number) => t.stores.sql`
      update account_snapshots set balance_fen = balance_fen + ${by} where account_id = ${accountId}
    `
    await shift(1)
    await chargeMany(t, accountId, 3)
    await eventually(() => alarmsOf(t).some((line) => line.includes("flushing is halted")))
    await shift(-1)
    const reason = await eventually(async () => {
      const stop = await readStop(t.stores.sql, 0)
      return stop ?? false
    })
    const flushed = async () =>
      (await t.stores.sql`select 1 from change_records where kind = 'charge'`).length
    expect(await flushed()).toBe(0)

    expect(await ops(t.stores, "resume", "0")).toEqual({
      code: 0,
      out: `partition 0 was stopped: ${reason}\npartition 0 goes on\n`,
      err: "",
    })
    await eventually(async () => expect(await flushed()).toBe(3))
    const [act] = await t.stores.sql`select actor, action, target, details from audit_log`
    expect(act).toEqual({
      ...{ actor: "system", action: "partition.resumed", target: "partition 0" },
      details: { partition: 0, reason },
    })
    const again = { code: 1, out: "", err: "Partition 0 is not stopped.\n" }
    expect(await ops(t.stores, "resume", "0")).toEqual(again)
    expect((await ops(t.stores, "resume", "5")).err).toBe("Partition 5 is not stopped.\n")
  })
})
