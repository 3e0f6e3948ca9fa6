import { expect, setDefaultTimeout, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { createExpiry } from "../../src/flusher/expire.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { createOpenings } from "../../src/ledger/opening.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

const ALARM = /^ALARM the clocks of Redis and Postgres are 3[56]\d{5} ms apart$/

test("while the clocks of Redis and Postgres are far apart no hold expires, and the operator hears of it once", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const hold = { ...chargeOf({ accountId, amountFen: fen(40) }), ttlMs: 1, isInternal: false }
    await eventually(async () => (await t.ledger.hold(hold)).status === "held")
    const heldFen = async () => {
      const state = await t.ledger.readAccount(accountId)
      return state.status === "found" ? state.account.heldFen : state.status
    }

    const setRight = await putPostgresAhead(t)
    const sql = connectSql(t.stores.databaseUrl, { max: 1, applicationName: "test expiry" })
    const openings = createOpenings(() => readOpening(sql))
    await openings.reload()
    const log: string[] = []
    const expiry = createExpiry({
      redis: oneNode(t.redis),
      sql,
      openings,
      partitions: 1,
      log: (line: string) => void log.push(line),
    })
    for (let sweeps = 0; sweeps < 100; sweeps++) {
      await expiry.sweep()
      await Bun.sleep(5)
    }
    expect<unknown>(await heldFen()).toBe(40)
    expect(log).toEqual([expect.stringMatching(ALARM)])

    await setRight()
    await eventually(async () => {
      await expiry.sweep()
      expect<unknown>(await heldFen()).toBe(0)
    })
    expect(log.slice(1)).toEqual(["the clocks of Redis and Postgres agree again"])
    await expiry.stop()
    await sql.end({ timeout: 1 })
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
  })
})

/** Whoever connects from then on is told by Postgres that it is an hour later. */
async function putPostgresAhead({ stores }: TestLedger): Promise<() => Promise<void>> {
  const name = stores.databaseUrl.slice(stores.databaseUrl.lastIndexOf("/") + 1)
  await stores.sql.unsafe(`
    create schema ahead;
    create function ahead.clock_timestamp() returns timestamptz language sql
      as 'select pg_catalog.clock_timestamp() + interval ''1 hour''';
    alter database ${name} set search_path = ahead, pg_catalog, public;
  `)
  return async () => {
    await stores.sql.unsafe(`
      alter database ${name} reset search_path;
      drop function ahead.clock_timestamp();
    `)
  }
}
