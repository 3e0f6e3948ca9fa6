import { expect, setDefaultTimeout, test } from "bun:test"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { migrate as runMigrations } from "drizzle-orm/postgres-js/migrator"
import { connectDatabase, connectSql, type Sql } from "../../db/connection.ts"
import { migrate } from "../../db/migrate.ts"
import { anchorsDirOf } from "../../src/flusher/anchors.ts"
import { verifyChains } from "../../src/reconcile/chain.ts"
import { chargeMany, expectAllRecords } from "../support/flushing.ts"
import { startLedger, type TestLedger, withStores } from "../support/ledger.ts"

setDefaultTimeout(60_000)

/** An installation of a former version is migrated with all that it has, and goes on. */

const MIGRATIONS = new URL("../../db/migrations", import.meta.url).pathname
const PARTITIONS = 2

test("records from before the hash chain stay as they are: it begins behind them, and all books go on", async () => {
  await withStores({ partitions: PARTITIONS }, async (stores) => {
    const before = await startLedger(stores)
    const accounts = [
      await before.openAccount({ balanceFen: 100, partition: 0 }),
      await before.openAccount({ balanceFen: 200, partition: 1 }),
    ]
    for (const accountId of accounts) await chargeMany(before, accountId, 20)
    const { records } = await before.books()
    expect(records).toBe(42)
    await before.stop()

    const former = await makeFormer(before, { migrations: 3 })
    await migrate(former.url)
    const sql = connectSql(former.url, { max: 2, applicationName: "test" })
    // The former version wrote no anchors.
    const dataDir = `${stores.dataDir}-migrated`
    const migrated = { ...stores, databaseUrl: former.url, sql, dataDir }
    const begun = await sql`
      select p.partition, p.claimed = p.generation as "isClaimed", p.is_open as "isOpen",
        p.chain_start = p.records and p.records > 0 as "isBegun", p.chain_head as head,
        g.records_before::integer as "recordsBefore"
      from partitions p join generations g using (partition, generation) order by 1
    `
    expect([...begun]).toEqual(
      [0, 1].map((partition) => {
        const open = { isClaimed: true, isOpen: true, isBegun: true }
        return { partition, ...open, head: "", recordsBefore: 0 }
      }),
    )
    const keys = await sql`select distinct chain_key from account_snapshots where chain_key <> ''`
    expect(keys).toHaveLength(accounts.length)

    const after = await startLedger(migrated)
    for (const accountId of accounts) await chargeMany(after, accountId, 5)
    await after.books()
    for (const accountId of accounts) await expectAllRecords(after, accountId, { least: 26 })
    // The chain has the new records alone, and is whole.
    expect(await verifyChains({ sql, anchorsDir: anchorsDirOf(dataDir) })).toEqual([
      expect.objectContaining({ partition: 0, records: 5, findings: [] }),
      expect.objectContaining({ partition: 1, records: 5, findings: [] }),
    ])

    // And Redis is built anew from records of both times.
    await after.redis.flushall()
    for (const accountId of accounts) await chargeMany(after, accountId, 1)
    const balances = await Promise.all(accounts.map((id) => after.ledger.readAccount(id)))
    expect(balances).toMatchObject([
      { account: { balanceFen: 74 } },
      { account: { balanceFen: 174 } },
    ])
    await after.books()
    await after.stop()
    await sql.end({ timeout: 1 })
  })
})

/** A database as the first so many migrations left it, with what this one has in those columns. */
async function makeFormer(
  { stores }: TestLedger,
  { migrations }: { migrations: number },
): Promise<{ url: string }> {
  const { sql: newer, databaseUrl } = stores
  const name = `${databaseUrl.slice(databaseUrl.lastIndexOf("/") + 1)}_former`
  const url = databaseUrl.replace(/[^/]+$/, name)
  await newer.unsafe(`create database ${name} template template0`)
  const dir = mkdtempSync(join(tmpdir(), "fengate-migrations-"))
  cpSync(MIGRATIONS, dir, { recursive: true })
  const journal = join(dir, "meta", "_journal.json")
  const { entries, ...rest } = JSON.parse(readFileSync(journal, "utf8"))
  writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, migrations) }))
  const { db, sql } = connectDatabase(url, { max: 1, applicationName: "test former" })
  await runMigrations(db, { migrationsFolder: dir })
  rmSync(dir, { recursive: true })
  await sql`select ensure_month(now())`
  for (const table of await tablesOf(sql)) {
    const [rows] = await newer.unsafe(`select json_agg(t)::text as rows from ${table} t`)
    await sql.unsafe(
      `insert into ${table} overriding system value
       select * from json_populate_recordset(null::${table}, $1::text::json) on conflict do nothing`,
      [rows?.rows ?? "[]"],
    )
  }
  await sql.end({ timeout: 1 })
  return { url }
}

async function tablesOf(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
  `
  return rows.map(({ name }) => name)
}
