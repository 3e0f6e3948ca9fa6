import type { Sql } from "../connection.ts"

export type AuditEntry = {
  id: string
  actor: string
  action: string
  target: string
  details: Record<string, unknown>
  requestId: string | null
  address: string | null
  createdAt: Date
}

/** The audit log, newest first, after the cursor. */
export function listAudit(
  sql: Sql,
  { after, limit }: { after: { at: string; id: string } | null; limit: number },
): Promise<AuditEntry[]> {
  return sql<AuditEntry[]>`
    select id, actor, action, target, details, request_id as "requestId", address, at as "createdAt"
    from audit_log
    ${after === null ? sql`` : sql`where (at, id) < (${after.at}::text::timestamptz, ${after.id})`}
    order by at desc, id desc
    limit ${limit}
  `
}
