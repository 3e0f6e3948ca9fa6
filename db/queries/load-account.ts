import type { Sql } from "../connection.ts"

export type LoadedAccount = {
  email: string
  role: string
  inviteCode: string
  createdAt: Date
  status: string
}

/** One account, and its status as of the last flush; null where there is none. */
export async function loadAccount(sql: Sql, accountId: string): Promise<LoadedAccount | null> {
  const rows = await sql<LoadedAccount[]>`
    select a.email, a.role, a.invite_code as "inviteCode", a.created_at as "createdAt",
      coalesce(s.status, 'open') as status
    from accounts a left join account_snapshots s on s.account_id = a.id
    where a.id = ${accountId}
  `
  return rows[0] ?? null
}
