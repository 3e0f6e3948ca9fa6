import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

export type Move = { accountId: string; partition: number }

/** Makes the list of accounts that change their partition, which ends with this connection. */
export async function createMoves(sql: Sql): Promise<void> {
  await sql`create temp table moves (account_id text primary key, partition integer not null)`
}

export async function stageMoves(sql: Sql, moves: readonly Move[]): Promise<void> {
  await sql`
    insert into pg_temp.moves (account_id, partition)
    select * from unnest(
      ${arrayText(moves.map(({ accountId }) => accountId))}::text::text[],
      ${arrayText(moves.map(({ partition }) => partition))}::text::integer[])
  `
}
