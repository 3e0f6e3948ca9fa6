import { expect, setDefaultTimeout, test } from "bun:test"
import { readStop } from "../../db/queries/read-stop.ts"
import { giveInRedis } from "../reconcile/tampering.ts"
import { eventually } from "../support/eventually.ts"
import { chargeMany } from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(60_000)

const stopOf = ({ stores }: TestLedger) =>
  eventually(async () => (await readStop(stores.sql, 0)) ?? false)

test("a balance that somebody wrote into Redis, and that was not used since, is put right by a rebuild", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await t.books()
    await giveInRedis(t, accountId, 5)
    expect((await ops(t.stores, "reconcile")).code).toBe(1)
    expect((await ops(t.stores, "rebuild")).code).toBe(0)
    expect((await ops(t.stores, "reconcile", "--strict")).code).toBe(0)
    await eventually(async () =>
      expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { balanceFen: 100 } }),
    )
  })
})

test("once it was charged, flushing stops; giving up what cannot be flushed tells each record, and goes on", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    await chargeMany(t, accountId, 3)
    await t.books()
    await giveInRedis(t, accountId, 5)
    await chargeMany(t, accountId, 2)
    const reason = await stopOf(t)
    expect((await ops(t.stores, "rebuild")).err).toStartWith("Flushing of partition 0 is stopped (")

    const { code, out, err } = await ops(t.stores, "rebuild", "--give-up-unflushed", "0")
    expect(code).toBe(0)
    expect(err).toEndWith("2 records were given up; partition 0 goes on without them\n")
    const given = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(given).toMatchObject([
      { accountId, seq: 5, kind: "charge", balanceBeforeFen: 102, balanceAfterFen: 101 },
      { accountId, seq: 6, kind: "charge", balanceBeforeFen: 101, balanceAfterFen: 100 },
    ])
    await chargeMany(t, accountId, 4)
    expect((await t.books()).balancesFen).toBe(93)
    expect((await ops(t.stores, "reconcile", "--strict")).code).toBe(0)
    const [incident] = await t.stores.sql`
      select records::float8 as records, detail from incidents where kind = 'records_lost'
    `
    expect(incident).toEqual({
      records: 2,
      detail: `an operator has given up 2 records that could not be flushed: ${reason}`,
    })
    expect((await ops(t.stores, "rebuild", "--give-up-unflushed", "0")).err).toBe(
      "Partition 0 is not stopped: nothing was given up.\n",
    )
  })
})
