import { fileURLToPath } from "node:url"
import { migrate as runMigrations } from "drizzle-orm/postgres-js/migrator"
import { connectDatabase } from "./connection.ts"

const MIGRATIONS = fileURLToPath(new URL("./migrations", import.meta.url))
const MIGRATION_LOCK = 7_364_101

/**
 * Brings the database to this version's schema. Two processes may call it at once: the advisory
 * lock is held by the one connection that migrates (without it, one of two migrators fails).
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const { db, sql } = connectDatabase(databaseUrl, {
    max: 1,
    applicationName: "fengate migrate",
    statementTimeoutMs: 0,
  })
  try {
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`
    await runMigrations(db, { migrationsFolder: MIGRATIONS })
    await sql`select ensure_month(now()), ensure_month(now() + interval '1 month')`
  } finally {
    await sql.end({ timeout: 5 })
  }
}
