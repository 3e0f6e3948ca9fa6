import type { Sql } from "../connection.ts"

export type PostgresFacts = { version: string; sizeBytes: number; connections: number }

/** The server's version, how large this database is, and who is connected to it. */
export async function describePostgres(sql: Sql): Promise<PostgresFacts> {
  const [row] = await sql<PostgresFacts[]>`
    select current_setting('server_version') as version,
      pg_database_size(current_database())::float8 as "sizeBytes",
      (select count(*) from pg_stat_activity where datname = current_database())::float8 as connections
  `
  if (row === undefined)
    throw new Error("broken invariant: a select without a table answers one row")
  return row
}
