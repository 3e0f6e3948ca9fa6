import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

/** Audits an act that changes nothing itself, such as an export. */
export async function writeAudit(sql: Sql, row: AuditRow & { target: string }): Promise<void> {
  const { id, actor, action, target, details, requestId, address } = row
  await sql`
    insert into audit_log (id, actor, action, target, details, request_id, address)
    values (${id}, ${actor}, ${action}, ${target}, ${details}::text::jsonb, ${requestId},
      ${address})
  `
}
