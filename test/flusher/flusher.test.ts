import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import { readOpening } from "../../db/queries/read-opening.ts"
import { startFlusher } from "../../src/flusher/flusher.ts"
import { flushRecord } from "../../src/flusher/process.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { createOpenings } from "../../src/ledger/opening.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { decodeMeta } from "../../src/ledger/states.ts"
import { eventually } from "../support/eventually.ts"
import {
  alarmsOf,
  chargeMany,
  everythingFlushed,
  expectAllRecords,
  progress,
  upTo,
} from "../support/flushing.ts"
import { type TestLedger, withLedger } from "../support/ledger.ts"
import { startRelay } from "../support/relay.ts"
import { encodeMeta } from "../support/scripts.ts"

setDefaultTimeout(30_000)

/** From the stream to Postgres: in order, each record once. */

test("three flushers on one partition write each record once, and raise no alarm", async () => {
  await withLedger({}, async (t) => {
    const others = [await t.startFlusher(), await t.startFlusher()]
    const accounts = await Promise.all(upTo(5).map(() => t.openAccount({ balanceFen: 400 })))
    for (let round = 0; round < 10; round++) {
      await Promise.all(accounts.map((accountId) => chargeMany(t, accountId, 40)))
    }
    await t.books()
    for (const accountId of accounts) await expectAllRecords(t, accountId, { least: 401 })
    for (const other of others) await other.stop()
    expect(alarmsOf(t)).toEqual([])
  })
})

test("meta learns what is committed, so that the back-pressure ends", async () => {
  await withLedger({}, async (t) => {
    await chargeMany(t, await t.openAccount({ balanceFen: 100 }), 100)
    await t.books()
    await eventually(async () => {
      const meta = decodeMeta((await t.redis.getBuffer("{p0}:meta")) ?? Buffer.alloc(58))
      expect({ flushed: meta.flushed, entryFlushed: meta.entryFlushed }).toEqual({
        ...{ flushed: 101, entryFlushed: meta.entryNumber },
      })
    })
  })
})

describe("asked to stop", () => {
  test("it first writes all that is in the stream", async () => {
    await withLedger({ flusher: false }, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 1_000 })
      for (let round = 1; round <= 5; round++) {
        const flusher = await t.startFlusher()
        await chargeMany(t, accountId, 200)
        await flusher.stop()
        const { written, flushed } = await progress(t)
        expect(flushed).toBe(written)
      }
    })
  })

  test("it reads once more: what came after its last look is written too", async () => {
    await withLedger({ flusher: false }, async (t) => {
      const accountId = await t.openAccount({ balanceFen: 10 })
      await (await t.startFlusher()).stop()
      const relay = await startRelay(t.stores.redisPort)
      const flusher = await flusherAlone(t, relay.through(t.stores.redisUrl))
      const { requests } = relay.counts()
      await eventually(() => relay.counts().requests > requests + 1)
      relay.holdReplies()
      const before = relay.counts().requests
      await eventually(() => relay.counts().requests > before)
      // It has asked for entries, and its answer, which says that there are none, is on its way.
      await chargeMany(t, accountId, 5)
      const stopping = flusher.stop()
      relay.release()
      await stopping
      const { written, flushed } = await progress(t)
      expect(flushed).toBe(written)
      await relay.stop()
    })
  })
})

async function flusherAlone(t: TestLedger, redisUrl: string): Promise<{ stop(): Promise<void> }> {
  const redis = connectRedis(redisUrl, { name: "flusher alone", commandTimeoutMs: 5_000 })
  const sql = connectSql(t.stores.databaseUrl, { max: 1, applicationName: "flusher alone" })
  await connected(redis, 5_000)
  const openings = createOpenings(() => readOpening(sql))
  const flusher = startFlusher({
    redis: oneNode(redis),
    record: flushRecord(sql),
    openings,
    partition: 0,
    log: (line) => void t.log.push(line),
  })
  return {
    async stop() {
      await flusher.stop()
      redis.disconnect()
      await sql.end()
    },
  }
}

test("records of two months, in one flush, go into the partition of their month", async () => {
  await withLedger({ flusher: false }, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 10 })
    const months = ["2031-12-31T23:59:59.999Z", "2032-01-01T00:00:00.000Z"]
    for (const month of months) {
      const meta = decodeMeta((await t.redis.getBuffer("{p0}:meta")) ?? Buffer.alloc(58))
      await t.redis.set("{p0}:meta", encodeMeta({ ...meta, clockMs: Date.parse(month) }))
      await chargeMany(t, accountId, 2)
    }
    const flusher = await t.startFlusher()
    await t.books()
    const rows = await t.stores.sql<{ month: string; at: Date; charge: string }[]>`
      select tableoid::regclass::text as month, at,
        (select charge_id from reporting.change_records r where r.account_id = c.account_id and r.seq = c.seq) as charge
      from change_records c where kind = 'charge' order by seq
    `
    const account = accountId.slice(5)
    expect<unknown>(rows.map(({ month, at, charge }) => [month, at.toISOString(), charge])).toEqual(
      [
        ["change_records_2031_12", months[0], `chg_${account}_203112_2`],
        ["change_records_2031_12", months[0], `chg_${account}_203112_3`],
        ["change_records_2032_01", months[1], `chg_${account}_203201_4`],
        ["change_records_2032_01", months[1], `chg_${account}_203201_5`],
      ],
    )
    await flusher.stop()
  })
})

test("a flush that raises leaves everything as it was, the watermark too, and goes on afterwards", async () => {
  await withLedger({}, async (t) => {
    const accountId = await t.openAccount({ balanceFen: 500 })
    await t.books()
    const { sql } = t.stores
    await sql`
      create function no_usage() returns trigger language plpgsql as $$
      begin raise exception 'no usage today'; end $$
    `
    await sql`create trigger no_usage before insert on usage_hourly for each row execute function no_usage()`
    const before = await everythingFlushed(t)
    const looks = () => t.log.filter((line) => line.includes("no usage today")).length
    for (let round = 1; round <= 3; round++) {
      await chargeMany(t, accountId, 50)
      const seen = looks()
      await eventually(() => looks() > seen)
      expect(await everythingFlushed(t)).toBe(before)
    }
    await sql`drop trigger no_usage on usage_hourly`
    await t.books()
    await expectAllRecords(t, accountId, { least: 151 })
    expect(alarmsOf(t)).toEqual([])
  })
})
