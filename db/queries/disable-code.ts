import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import type { ListedCode } from "./list-codes.ts"

/**
 * Disables a redemption code, and writes the audit row, in one statement; null where there is no
 * such code. Callers may rely on: whoever redeems it afterwards is refused, because a redemption
 * locks the same row. Disabling a disabled code changes nothing and is audited too.
 */
export async function disableCode(
  sql: Sql,
  { id, audit }: { id: string; audit: AuditRow },
): Promise<ListedCode | null> {
  const rows = await sql<ListedCode[]>`
    with disabled as (
      update redemption_codes set enabled = false where id = ${id} returning *
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from disabled
    )
    select id, code, amount_fen as "amountFen", total_uses as "totalUses", used,
      starts_at as "startsAt", expires_at as "expiresAt", enabled, note, created_at as "createdAt"
    from disabled
  `
  return rows[0] ?? null
}
