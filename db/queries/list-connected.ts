import type { Sql } from "../connection.ts"

export type Connected = { name: string; connections: number }

/** The program's own processes that are connected to this database, `but` the one that asks. */
export async function listConnected(sql: Sql, but: readonly string[]): Promise<Connected[]> {
  return await sql<Connected[]>`
    select application_name as name, count(*)::float8 as connections from pg_stat_activity
    where datname = current_database() and application_name like 'fengate %'
      and application_name <> all(${`{${but.map((name) => `"${name}"`).join(",")}}`}::text::text[])
    group by 1 order by 1
  `
}
