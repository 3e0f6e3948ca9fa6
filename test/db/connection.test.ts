import { expect, setDefaultTimeout, test } from "bun:test"
import { connectSql } from "../../db/connection.ts"
import { within } from "../../src/deadline.ts"
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
