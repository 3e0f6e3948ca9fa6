import { expect, setDefaultTimeout, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import { within } from "../../src/deadline.ts"
import { postgresCodeOf } from "../../src/http/failure.ts"
import { eventually } from "../support/eventually.ts"
import { withStores } from "../support/ledger.ts"

setDefaultTimeout(60_000)

/**
 * The client loses queries that are asked while their connection dies, and its slot of the pool with
 * them (db/socket.ts, db/connection.ts). Asked in every turn, one is always asked in that moment.
 */
test("each query that is asked while its connection is terminated is answered as itself, or fails", async () => {
  await withStores({}, async ({ databaseUrl, sql: admin }) => {
    const sql = connectSql(databaseUrl, { max: 1, applicationName: "test of a pool" })
    let [asked, answered, failed] = [0, 0, 0]
    const ask = async (): Promise<void> => {
      const number = ++asked
      const rows = await sql<{ number: number }[]>`select ${number}::integer as number`.catch(
        () => null,
      )
      if (rows === null) failed++
      else answered += rows[0]?.number === number ? 1 : Number.NaN
    }
    for (let round = 1; round <= 5; round++) {
      const pid = await eventually(async () => {
        const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
        return row?.pid ?? false
      })
      const asking: Promise<void>[] = []
      const terminated = admin`select pg_terminate_backend(${pid})`.then(() => performance.now())
      let endsAt = Number.POSITIVE_INFINITY
      void terminated.then((at) => {
        endsAt = at + 15
      })
      while (performance.now() < endsAt) {
        asking.push(ask())
        await new Promise(setImmediate)
      }
      await within(Promise.all(asking), { timeoutMs: 5_000, what: "the pool" })
    }
    expect(answered + failed).toBe(asked)
    expect(failed).toBeGreaterThan(0)
    await sql.end({ timeout: 1 })
  })
})

test("what a server says when it ends a connection is told to whom it answers, and to no query after it", async () => {
  await withStores({}, async ({ databaseUrl, sql: admin }) => {
    const sql = connectSql(databaseUrl, { max: 1, applicationName: "test of a pool" })
    const asleep = sql`select pg_sleep(60)`.catch(postgresCodeOf)
    await eventually(async () => {
      const ended = await admin`select pg_terminate_backend(pid) from pg_stat_activity
        where query = 'select pg_sleep(60)'`
      return ended.length === 1
    })
    expect<string | object | null>(await asleep).toBe("57P01")
    expect(Array.from(await sql`select 1 as one`)).toEqual([{ one: 1 }])
    await sql.end({ timeout: 1 })
    const stranger = new URL(databaseUrl)
    stranger.password = "wrong"
    const refused = connectSql(stranger.href, { max: 1, applicationName: "test of a pool" })
    expect<string | object | null>(await refused`select 1`.catch(postgresCodeOf)).toBe("28P01")
    await refused.end({ timeout: 1 })
  })
})
