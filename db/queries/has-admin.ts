import type { Sql } from "../connection.ts"

/** Whether any account is an administrator's. */
export async function hasAdmin(sql: Sql): Promise<boolean> {
  return (await sql`select 1 from accounts where role = 'admin' limit 1`).length > 0
}
