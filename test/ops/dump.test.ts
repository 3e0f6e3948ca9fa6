import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { cpSync, rmSync } from "node:fs"
import { delimiter, join } from "node:path"
import { connectSql } from "../../db/connection.ts"
import { migrate } from "../../db/migrate.ts"
import { createPlaces } from "../embedded/places.ts"
import { alarmsOf, chargeMany } from "../support/flushing.ts"
import { startLedger, withStores } from "../support/ledger.ts"
import { type Stores, startStores } from "../support/stores.ts"
import { ops } from "./ops.ts"
import { findOwnPostgres, startOwnPostgres } from "./own-postgres.ts"

setDefaultTimeout(120_000)

/** Backups of servers of one's own: pg_dump, and the append-only files of Redis. */

const places = createPlaces()
afterEach(places.clear)

const bin = findOwnPostgres()

test("a pg_dump that is missing or older than the server is refused, with the command to run instead", async () => {
  await withStores({}, async (stores) => {
    const path = process.env.PATH
    process.env.PATH = places.makePath("sh")
    const { code, err } = await ops(stores, "backup", join(places.make(), "backup"))
    process.env.PATH = path
    expect(code).toBe(1)
    expect(err).toMatch(
      /^Postgres is 18\S+, its pg_dump is needed, and there is none: install it, or run where it is: pg_dump --format=custom --no-owner --file=\S+ "\$DATABASE_URL"\n$/,
    )
  })
})

async function run(...words: string[]): Promise<void> {
  const { exitCode, stderr } = Bun.spawnSync([join(bin ?? "", words[0] ?? ""), ...words.slice(1)])
  expect([exitCode, stderr.toString()]).toEqual([0, ""])
}

/** These stores with a Postgres of the system's, at one of its databases. */
function withDatabase(stores: Stores, databaseUrl: string): Stores {
  return {
    ...stores,
    databaseUrl,
    sql: connectSql(databaseUrl, { max: 2, applicationName: "test" }),
  }
}

test.skipIf(bin === null)(
  "a dump, restored beside an empty Redis or beside a copy of its files, starts, and its books balance",
  async () => {
    const path = process.env.PATH
    process.env.PATH = `${bin}${delimiter}${path}`
    const url = await startOwnPostgres(places, bin ?? "")
    await run("createdb", `--maintenance-db=${url}postgres`, "fengate")
    await migrate(`${url}fengate`)
    const base = await startStores()
    const stores = withDatabase(base, `${url}fengate`)
    const t = await startLedger(stores)
    const accountId = await t.openAccount({ balanceFen: 1_000 })
    await chargeMany(t, accountId, 50)
    await t.books()

    const dir = join(places.make(), "backup")
    const { code, out, err } = await ops(stores, "backup", dir)
    expect([code, err]).toEqual([0, ""])
    expect(out).toContain(`${dir}/fengate.dump has all that Postgres had when it was begun.\n`)
    expect(out).toContain("cp -a appendonlydir")
    await chargeMany(t, accountId, 30)
    await t.books()
    await t.stop()
    await stores.sql.end({ timeout: 1 })
    process.env.PATH = path

    const dump = join(dir, "fengate.dump")
    for (const name of ["beside_nothing", "beside_redis"]) {
      await run("createdb", `--maintenance-db=${url}postgres`, name)
      await run("pg_restore", "--no-owner", "--exit-on-error", `--dbname=${url}${name}`, dump)
    }
    const empty = await startStores()
    const alone = withDatabase(empty, `${url}beside_nothing`)
    const fresh = await startLedger(alone)
    expect((await fresh.books()).balancesFen).toBe(950)
    await chargeMany(fresh, accountId, 5)
    await fresh.books()
    await fresh.stop()
    await alone.sql.end({ timeout: 1 })
    await empty.stop()

    const copied = await startStores()
    await copied.killRedis()
    await base.killRedis()
    const files = (of: Stores) => join(of.redisDir, "appendonlydir")
    rmSync(files(copied), { recursive: true })
    cpSync(files(base), files(copied), { recursive: true })
    await copied.restartRedis()
    const beside = withDatabase(copied, `${url}beside_redis`)
    const filled = await startLedger(beside)
    expect((await filled.books()).balancesFen).toBe(920)
    expect(alarmsOf(filled)).toEqual([expect.stringContaining("Postgres was restored")])
    await filled.stop()
    await beside.sql.end({ timeout: 1 })
    await copied.stop()
    await base.stop()
  },
)
