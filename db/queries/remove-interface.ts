import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import { INTERFACES_CHANNEL } from "./listen-interfaces.ts"

/**
 * Deletes an interface, writes the audit row, and tells the gateways, in one statement; false where
 * there is no such interface. What was charged for it stays in the record.
 */
export async function removeInterface(
  sql: Sql,
  { id, audit }: { id: string; audit: AuditRow },
): Promise<boolean> {
  const rows = await sql<{ id: string }[]>`
    with removed as (
      delete from interfaces where id = ${id} returning id
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from removed
    ), told as (
      select pg_notify(${INTERFACES_CHANNEL}, id) from removed
    )
    select id from removed where (select count(*) from told) > 0
  `
  return rows.length > 0
}
