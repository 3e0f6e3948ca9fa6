import type { Sql } from "../connection.ts"

/** Postgres's clock, in ms since 1970: it goes on within a transaction. */
export async function readClock(sql: Sql): Promise<number> {
  const [row] = await sql<{ ms: string }[]>`
    select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms
  `
  return Number(row?.ms)
}
