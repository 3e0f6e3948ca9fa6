import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { appendFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connectSql, type Sql } from "../../db/connection.ts"
import { freePort } from "../../src/embedded/processes.ts"
import { connectNodes, type RedisNodes } from "../../src/ledger/cluster.ts"
import { streamKey } from "../../src/ledger/keys.ts"
import { readMeta } from "../../src/ledger/meta.ts"
import { auditBooks } from "../../src/reconcile/audit.ts"
import { createPlaces } from "../embedded/places.ts"
import { startCallers } from "../support/callers.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { type Installation, startInstallation } from "../support/installation.ts"
import { runProgram } from "../support/program.ts"
import { createRequest } from "../support/system.ts"
import { ops } from "./ops.ts"

setDefaultTimeout(180_000)

/** Backups of the whole program, taken while calls are charged, and what starts from them. */

const places = createPlaces()
afterEach(places.clear)

type Urls = { redisUrl: string; databaseUrl: string }
type Row = { accountId: string; seq: number; amountFen: number }

async function connectedTo<Value>(
  { redisUrl, databaseUrl }: Urls,
  work: (stores: { sql: Sql; redis: RedisNodes }) => Promise<Value>,
): Promise<Value> {
  const sql = connectSql(databaseUrl, { max: 2, applicationName: "test" })
  const times = { commandTimeoutMs: 5_000, timeoutMs: 5_000 }
  const redis = await connectNodes(redisUrl, { name: "test", ...times })
  try {
    return await work({ sql, redis })
  } finally {
    redis.disconnect()
    await sql.end({ timeout: 1 })
  }
}

const recordsOf = (urls: Urls) =>
  connectedTo(urls, async ({ sql }) => [
    ...(await sql<Row[]>`
      select account_id as "accountId", seq::float8 as seq, amount_fen::float8 as "amountFen"
      from change_records order by account_id, seq
    `),
  ])

function urlsOf(dataDir: string): Urls {
  const { redis, postgres } = JSON.parse(readFileSync(join(dataDir, "stores.json"), "utf8"))
  return { redisUrl: redis.url, databaseUrl: postgres.url }
}

type Taken = { dir: string; before: Row[]; after: Row[] }
let developers: Developer[]
/** Taken under load; between the last two, Redis has forgotten what Postgres has. */
let first: Taken
let second: Taken
let third: Taken
let refusals: string[]
const lasting = createPlaces()
beforeAll(async () => {
  const installation = await startInstallation(lasting, { gateways: 1 })
  developers = await Promise.all(
    Array.from({ length: 4 }, () => newDeveloper(installation.client, { balanceFen: 100_000 })),
  )
  first = await take(installation)
  second = await take(installation)
  await connectedTo(installation.stores(), async ({ redis }) => {
    const meta = await readMeta(redis, 0)
    if (meta === null) throw new Error("the partition must be open")
    const flushed = `${meta.generation}-${meta.entryFlushed}`
    await redis.of(0).xtrim(streamKey(0, meta.generation), "MINID", flushed)
  })
  third = await take(installation)
  const { env } = installation
  refusals = [(await ops(env, "backup", first.dir)).err, (await ops(env, "restore", first.dir)).err]
  expect((await installation.stop()).code).toBe(0)
  refusals.push((await ops(env, "restore", first.dir)).err)
})
afterAll(lasting.clear)

/** A backup while calls are charged, with the records that were flushed before and after it. */
async function take(installation: Installation): Promise<Taken> {
  const flushed = async () => {
    expect((await connectedTo(installation.stores(), auditBooks)).findings).toEqual([])
    return recordsOf(installation.stores())
  }
  const before = await flushed()
  const callers = startCallers({
    port: installation.port,
    keys: developers.map(({ key }) => key),
    isKeepAlive: true,
    body: { interface: "user.login" },
  })
  await eventually(() => callers.answered(200) > 50)
  const dir = join(lasting.make(), "backup")
  const { code, out, err } = await ops(installation.env, "backup", dir)
  await callers.stop()
  expect([code, err]).toEqual([0, "Redis is copied, now Postgres ...\n"])
  expect(out).toMatch(/^\d+ files with \d+\.\d MB are in .*\/backup, in \d+\.\d s\n$/)
  expect(callers.failures()).toEqual({})
  return { dir, before, after: await flushed() }
}

async function restoreTo({ dir }: Taken): Promise<string> {
  const dataDir = join(places.make(), "restored")
  const { code, out } = await ops({ DATA_DIR: dataDir }, "restore", dir)
  expect([code, out.includes("start the program with PARTITIONS=1\n")]).toEqual([0, true])
  return dataDir
}

/** The program on a restored directory: what it logged, and the records that it came up with. */
async function start(dataDir: string): Promise<{ output: string; records: Row[] }> {
  const port = await freePort()
  const program = runProgram(places, { DATA_DIR: dataDir, PORT: String(port), GATEWAYS: "1" })
  await program.isUp()
  const records = await recordsOf(urlsOf(dataDir))
  const request = createRequest(`http://127.0.0.1:${port}`)
  for (const { key: token } of developers) {
    const paid = await request("POST", "/v1/charges", { token, body: { interface: "user.login" } })
    expect(paid.status).toBe(200)
  }
  const audit = await connectedTo(urlsOf(dataDir), auditBooks)
  expect(audit.findings).toEqual([])
  expect(audit.records).toBeGreaterThanOrEqual(records.length + developers.length)
  program.child.kill("SIGTERM")
  expect((await program.ended()).code).toBe(0)
  return { output: program.output(), records }
}

/** Whether each account's records of `part` are its first ones in `whole`. */
function expectBeginning(part: readonly Row[], whole: readonly Row[]): void {
  const known = new Map(whole.map((row) => [`${row.accountId} ${row.seq}`, row]))
  for (const row of part) expect(known.get(`${row.accountId} ${row.seq}`)).toEqual(row)
}

test("a backup under load, restored elsewhere, starts with all that was flushed, and its books balance", async () => {
  const { records } = await start(await restoreTo(first))
  expectBeginning(first.before, records)
  expectBeginning(records, first.after)
  expect(records.length).toBeGreaterThan(first.before.length)
})

describe("of two backups, Postgres of one with Redis of the other:", () => {
  test("Redis is older: it is built anew from Postgres, with nothing lost that Postgres has", async () => {
    const dataDir = await restoreTo(second)
    replaceRedis(dataDir, first)
    const { output, records } = await start(dataDir)
    expect(output).toContain("ALARM partition 0 is built anew from Postgres: ")
    expectBeginning(second.before, records)
    expectBeginning(records, second.after)
  })

  test("Postgres is older: it is filled up again from Redis, and has all records", async () => {
    const dataDir = await restoreTo(first)
    replaceRedis(dataDir, second)
    const { output, records } = await start(dataDir)
    expect(output).toContain("Postgres was restored, and is filled up again")
    expectBeginning(second.before, records)
    expectBeginning(records, second.after)
  })

  test("Postgres is older than what Redis still keeps: the start is refused with one sentence", async () => {
    const dataDir = await restoreTo(first)
    replaceRedis(dataDir, third)
    const env = { DATA_DIR: dataDir, PORT: String(await freePort()), GATEWAYS: "1" }
    const { code, output } = await runProgram(places, env).ended()
    expect(code).toBe(1)
    expect(output).toContain(
      "Postgres lacks records of partition 0 that Redis keeps no more: restore a later backup of Postgres.\n",
    )
  })
})

function replaceRedis(dataDir: string, { dir }: Taken): void {
  rmSync(join(dataDir, "redis"), { recursive: true })
  cpSync(join(dir, "redis"), join(dataDir, "redis"), { recursive: true })
}

test("what a gateway of then has left to revoke is nobody's, so that whoever starts takes it up", async () => {
  const names = readdirSync(join(await restoreTo(first), "revokes"))
  expect(names.length).toBeGreaterThan(0)
  for (const name of names) expect(name).toMatch(/^4194305-\w+-0\.slot\.json$/)
})

test("a directory that is in use, or not empty, is not written to", () => {
  expect(refusals).toEqual([
    `${first.dir} is not empty: name another directory.\n`,
    expect.stringMatching(/^Process \d+ runs on .*: stop it, or set DATA_DIR\.\n$/),
    expect.stringMatching(/ is not empty: move it away, or set another DATA_DIR\.\n$/),
  ])
})

test("a backup that is not whole, or not what was copied, is not restored, and nothing starts from it", async () => {
  const { dir } = third
  const elsewhere = () => ({ DATA_DIR: join(places.make(), "data") })
  const own = { REDIS_URL: "redis://127.0.0.1:1", DATABASE_URL: "postgres://127.0.0.1:1/none" }
  expect((await ops(own, "restore", dir)).err).toStartWith("REDIS_URL and DATABASE_URL are set: ")
  expect((await ops(elsewhere(), "restore", places.make())).err).toMatch(
    /^\S+ holds no complete backup: it has no backup\.json\.\n$/,
  )

  const manifest = join(dir, "backup.json")
  const text = readFileSync(manifest, "utf8")
  writeFileSync(manifest, text.replace('"postgresVersion": "18', '"postgresVersion": "12'))
  expect((await ops(elsewhere(), "restore", dir)).err).toMatch(
    /^The backup is of Postgres 12\S+, and the one of this program is 18\S+: restore it with the version that made it\.\n$/,
  )
  writeFileSync(manifest, text)
  const label = join(dir, "postgres", "data", "backup_label")
  appendFileSync(label, " ")
  const env2 = elsewhere()
  expect((await ops(env2, "restore", dir)).err).toBe(
    `${label} is not what was backed up: its SHA-256 is another.\n`,
  )
  rmSync(label)
  expect((await ops(elsewhere(), "restore", dir)).err).toBe(
    `${label} is missing: the backup is not whole.\n`,
  )
  const half = runProgram(places, { ...env2, PORT: String(await freePort()) })
  expect((await half.ended()).output).toContain("stores.json, which holds the password")
})
