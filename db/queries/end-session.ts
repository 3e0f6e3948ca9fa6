import type { Sql } from "../connection.ts"

/** Ends one session of an account; false where the account has no such session. */
export async function endSession(
  sql: Sql,
  { accountId, id }: { accountId: string; id: string },
): Promise<boolean> {
  const { count } = await sql`delete from sessions where id = ${id} and account_id = ${accountId}`
  return count === 1
}
