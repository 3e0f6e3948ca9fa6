import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import type { ListedServiceKey } from "./list-service-keys.ts"

/**
 * Makes a service key, and the audit row that says so, in one statement. It raises no version:
 * nobody can have verified a key that did not exist.
 */
export async function addServiceKey(
  sql: Sql,
  key: { id: string; name: string; keyHash: string; audit: AuditRow },
): Promise<ListedServiceKey> {
  const { id, name, keyHash, audit } = key
  const [row] = await sql<ListedServiceKey[]>`
    with added as (
      insert into service_keys (id, name, key_hash) values (${id}, ${name}, ${keyHash})
      returning id, name, enabled, created_at
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from added
    )
    select id, name, enabled, created_at as "createdAt" from added
  `
  if (row === undefined) throw new Error("an insert that answers no row")
  return row
}
