import { connectSql, type Sql } from "../../db/connection.ts"
import { type AccountId, randomChars } from "../../src/ids.ts"
import { SCRIPT_NAMES, scriptText } from "../../src/ledger/scripts.ts"
import { detailsOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import type { TestLedger } from "../support/ledger.ts"

export type IncidentRow = {
  partition: number
  generation: number
  kind: string
  records: number | null
  detail: string
}

export async function incidentsOf({ stores: { sql } }: TestLedger): Promise<IncidentRow[]> {
  return await sql<IncidentRow[]>`
    select partition, generation, kind, records::float8 as records, detail from incidents
    order by id
  `
}

/** Charges one fen; asks again while billing is away, each time anew. */
export async function pay(t: TestLedger, accountId: AccountId): Promise<void> {
  await eventually(async () => {
    const details = detailsOf({ requestId: `req_${randomChars(8)}` })
    return (await t.charge(accountId, 1, { details })).status === "accepted"
  })
}

/** What the account has paid and was not given back, as Redis has it. Accounts here begin with 100. */
export async function spent(t: TestLedger, accountId: AccountId): Promise<number> {
  const state = await t.ledger.readAccount(accountId)
  if (state.status !== "found") throw new Error(`the account is ${state.status}`)
  return 100 - state.account.balanceFen
}

export type Saved = { key: string; dump: Buffer }[]

/** All that Redis has, to be put back later. */
export async function save({ redis }: TestLedger): Promise<Saved> {
  const keys = await redis.keys("*")
  const dumps = await Promise.all(keys.map((key) => redis.dumpBuffer(key)))
  return keys.flatMap((key, i) => {
    const dump = dumps[i]
    return dump ? [{ key, dump }] : []
  })
}

/** Redis is as it was: its data are, and it has no scripts, or those of an opening before. */
export async function rollBack(
  { redis }: TestLedger,
  saved: Saved,
  { scriptsOf }: { scriptsOf?: number } = {},
): Promise<void> {
  const transaction = redis.multi().script("FLUSH").flushall()
  for (const { key, dump } of saved) transaction.restore(key, 0, dump)
  if (scriptsOf !== undefined) {
    for (const name of SCRIPT_NAMES) transaction.script("LOAD", scriptText(name, scriptsOf))
  }
  await transaction.exec()
}

/** Keeps a copy of the database as it is; answers how everybody gets that one instead. */
export async function keepPostgres({
  stores,
}: Pick<TestLedger, "stores">): Promise<() => Promise<void>> {
  const name = stores.databaseUrl.slice(stores.databaseUrl.lastIndexOf("/") + 1)
  const copy = `${name}_copy`
  await alone(stores, name, (admin) => admin.unsafe(`create database ${copy} template ${name}`))
  return () =>
    alone(stores, name, async (admin) => {
      await admin.unsafe(`alter database ${name} rename to ${name}_newer`)
      await admin.unsafe(`alter database ${copy} rename to ${name}`)
    })
}

/** While nobody is connected, or can be: as with a server that is down for it. */
async function alone(
  { databaseUrl }: TestLedger["stores"],
  name: string,
  work: (admin: Sql) => Promise<unknown>,
): Promise<void> {
  const admin = connectSql(databaseUrl.replace(/[^/]+$/, "postgres"), {
    ...{ max: 1, applicationName: "test admin" },
  })
  const allow = (isAllowed: boolean) =>
    admin`update pg_database set datallowconn = ${isAllowed} where datname like ${`${name}%`}`
  await allow(false)
  await admin`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = ${name}`
  await work(admin)
  await allow(true)
  await admin.end({ timeout: 1 })
}
