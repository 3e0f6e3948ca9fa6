import { expect, setDefaultTimeout, test } from "bun:test"
import { chargeMany } from "../support/flushing.ts"
import { withLedger } from "../support/ledger.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(60_000)

test("a chain that is whole exits with 0; one record that was changed, and it is told where", async () => {
  await withLedger({ partitions: 2 }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100, partition: 1 })
    await chargeMany(t, accountId, 20)
    await t.books()
    const whole = await ops(t.stores, "verify-chain")
    expect(whole.code).toBe(0)
    expect(whole.out).toMatch(
      /^partition 1: a chain of 21 records, compared with \d+ anchors: whole$/m,
    )

    const rewrite = (description: string) => t.stores.sql`
      with off as (select set_config('session_replication_role', 'replica', true))
      update change_records set description = ${description} from off where seq = 7
    `
    const [row] = await t.stores.sql<{ description: string }[]>`
      select description from change_records where seq = 7
    `
    await rewrite("somebody else's")
    const broken = await ops(t.stores, "verify-chain", "--partition", "1", "--json")
    expect(broken.code).toBe(1)
    expect(JSON.parse(broken.out)).toMatchObject({
      isWhole: false,
      chains: [{ partition: 1, findings: [expect.stringContaining("are not what was written")] }],
    })
    expect((await ops(t.stores, "verify-chain")).out).toContain("BROKEN\nFOUND partition 1: ")
    await rewrite(row?.description ?? "")
  })
})
