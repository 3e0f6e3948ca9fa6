import type { Sql } from "../connection.ts"
import { type CountedAttempt, secondsLeft } from "./count-attempt.ts"

/** What stands under a key in a window that has not ended; null: nothing. Counts nothing. */
export async function readAttempts(sql: Sql, key: string): Promise<CountedAttempt | null> {
  const rows = await sql<CountedAttempt[]>`
    select count, ${secondsLeft(sql)} as "secondsLeft"
    from attempts where key = ${key} and window_ends_at > now()
  `
  return rows[0] ?? null
}
