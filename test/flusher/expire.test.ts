import { expect, setDefaultTimeout, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { createExpiry } from "../../src/flusher/expire.ts"
import type { AccountId } from "../../src/ids.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { createLedger } from "../../src/ledger/ledger.ts"
import { createOpenings } from "../../src/ledger/opening.ts"
import { fen } from "../../src/money.ts"
import { incidentsOf, rollBack, save } from "../recovery/recovering.ts"
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

test("where Redis lost what the sweep alone had seen, the loss is told, and holds expire again", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 100 })
    const openings = createOpenings(() => readOpening(t.stores.sql))
    await openings.reload()
    const expiry = createExpiry({
      ...{ redis: oneNode(t.redis), sql: t.stores.sql, openings, partitions: 1 },
      log: () => undefined,
    })
    const hold = async () => {
      const charge = chargeOf({ accountId, amountFen: fen(40) })
      const outcome = await t.ledger.hold({ ...charge, ttlMs: 1, isInternal: false })
      return outcome.status === "held"
    }
    const expire = () =>
      eventually(async () => {
        await expiry.sweep()
        expect(await t.ledger.readAccount(accountId)).toMatchObject({ account: { heldFen: 0 } })
      })
    await eventually(hold)
    const saved = await save(t)
    await payThroughAnother(t, accountId)
    await expire()
    await rollBack(t, saved)
    await expire()
    expect((await readOpening(t.stores.sql)).generations).toEqual([2])
    expect((await incidentsOf(t)).map(({ kind }) => kind)).toContain("records_lost")
    await eventually(hold)
    await expire()
    await expiry.stop()
    const flusher = await t.startFlusher()
    await t.books()
    await flusher.stop()
  })
})

/** A gateway that is gone afterwards, and has told nobody what it saw. */
async function payThroughAnother(t: TestLedger, accountId: AccountId): Promise<void> {
  const { redisUrl, sql, dataDir } = t.stores
  const ledger = await createLedger({
    ...{ redisUrl, sql, dataDir, onBatch: () => undefined, log: () => undefined },
  })
  await eventually(async () => {
    const charged = await ledger.charge(chargeOf({ accountId, amountFen: fen(1) }))
    return charged.status === "accepted"
  })
  await ledger.stop()
}

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
