import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

/**
 * Deletes a service key; false where there is none with this id.
 * Callers may rely on: with the key goes, in the same statement, a higher version of the service
 * keys, and its audit row is written. Its charges and reversals go on naming it.
 */
export async function removeServiceKey(
  sql: Sql,
  { id, audit }: { id: string; audit: AuditRow },
): Promise<boolean> {
  const rows = await sql`
    with removed as (
      delete from service_keys where id = ${id} returning id
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from removed
    ), raised as (
      update ledger set services_version = services_version + 1
      where exists (select 1 from removed)
    )
    select id from removed
  `
  return rows.length === 1
}
