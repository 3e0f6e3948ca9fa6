import type { Sql } from "../connection.ts"

/** Whether an account has this invite code. */
export async function hasInviteCode(sql: Sql, inviteCode: string): Promise<boolean> {
  const rows = await sql`select 1 from accounts where invite_code = ${inviteCode}`
  return rows.length > 0
}
