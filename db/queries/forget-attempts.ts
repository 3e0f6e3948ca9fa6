import type { Sql } from "../connection.ts"

/** Forgets what was counted under a key. */
export async function forgetAttempts(sql: Sql, key: string): Promise<void> {
  await sql`delete from attempts where key = ${key}`
}
