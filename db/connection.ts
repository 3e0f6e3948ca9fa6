import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js"
import postgres from "postgres"

/**
 * Two clients, because drizzle replaces the parsers of the client that it is given: dates and
 * arrays would then fail in raw SQL (LIBRARIES, "Postgres").
 */

export type Sql = postgres.Sql
export type Database = PostgresJsDatabase

type Pool = {
  max: number
  applicationName: string
  statementTimeoutMs?: number
  /** A connection has ended: what answers next may be another server. */
  onClose?: () => void
}

/** The raw client. `bigint` columns come as strings, and are parsed by `parseFen`. */
export function connectSql(
  databaseUrl: string,
  { max, applicationName, statementTimeoutMs = 10_000, onClose = () => undefined }: Pool,
): Sql {
  return postgres(databaseUrl, {
    max,
    connect_timeout: 5,
    idle_timeout: 0,
    max_lifetime: null,
    // A query waits for the next attempt to connect: the default grows to 20 s.
    backoff: (failures) => Math.min(0.025 * 2 ** failures, 0.5),
    // Arrays are sent as text and cast in SQL, so that types need not be fetched at connect time.
    fetch_types: false,
    onnotice: () => undefined,
    onclose: onClose,
    connection: { application_name: applicationName, statement_timeout: statementTimeoutMs },
  })
}

/** drizzle on a client of its own, and the way to close it. */
export function connectDatabase(databaseUrl: string, pool: Pool): { db: Database; sql: Sql } {
  const sql = connectSql(databaseUrl, pool)
  return { db: drizzle(sql), sql }
}
