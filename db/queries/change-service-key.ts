import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import type { ListedServiceKey } from "./list-service-keys.ts"

/**
 * Renames a service key, disables or enables it; null where there is none with this id.
 * Callers may rely on: with the change comes its audit row, and, if it was disabled by it, a higher
 * version of the service keys, in the same statement. Enabling raises none: no gateway keeps a key
 * that is disabled. The ledger's row is locked last, as everywhere.
 */
export async function changeServiceKey(
  sql: Sql,
  change: { id: string; name: string | null; isEnabled: boolean | null; audit: AuditRow },
): Promise<ListedServiceKey | null> {
  const { id, name, isEnabled, audit } = change
  const rows = await sql<ListedServiceKey[]>`
    with found as (
      select id, enabled from service_keys where id = ${id} for update
    ), changed as (
      update service_keys s
      set name = coalesce(${name}::text, s.name),
        enabled = coalesce(${isEnabled}::boolean, s.enabled)
      from found where s.id = found.id
      returning s.id, s.name, s.enabled, s.created_at, found.enabled and not s.enabled as is_revoked
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from changed
    ), raised as (
      update ledger set services_version = services_version + 1
      where exists (select 1 from changed where is_revoked)
    )
    select id, name, enabled, created_at as "createdAt" from changed
  `
  return rows[0] ?? null
}
