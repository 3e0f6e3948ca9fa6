import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js"
import postgres from "postgres"
import { openSocket } from "./socket.ts"

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

/**
 * postgres.js (3.4.9) gathers what it writes, and sends it at once only above 1,024 bytes. Where a
 * connection ends while something is gathered, nothing shorter is sent on its slot of the pool any more, the
 * first message of the next connection neither: each attempt then ends with CONNECT_TIMEOUT (seen after
 * kill -9 of Postgres). A first message of that length is sent, and what was left costs one more attempt.
 */
const FIRST_MESSAGE_BYTES = 1_024

/** The raw client. `bigint` columns come as strings, and are parsed by `parseFen`. */
export function connectSql(
  databaseUrl: string,
  { max, applicationName, statementTimeoutMs = 10_000, onClose = () => undefined }: Pool,
): Sql {
  const options = {
    max,
    connect_timeout: 5,
    idle_timeout: 0,
    max_lifetime: null,
    // A query waits for the next attempt to connect: the default grows to 20 s.
    backoff: (failures: number) => Math.min(0.025 * 2 ** failures, 0.5),
    // Arrays are sent as text and cast in SQL, so that types need not be fetched at connect time.
    fetch_types: false,
    onnotice: () => undefined,
    onclose: onClose,
    connection: {
      application_name: applicationName,
      statement_timeout: statementTimeoutMs,
      options: " ".repeat(FIRST_MESSAGE_BYTES),
    },
    socket: openSocket,
  }
  return postgres(databaseUrl, options)
}

/** drizzle on a client of its own, and the way to close it. */
export function connectDatabase(databaseUrl: string, pool: Pool): { db: Database; sql: Sql } {
  const sql = connectSql(databaseUrl, pool)
  return { db: drizzle(sql), sql }
}
