import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

/**
 * Makes the account with this e-mail an administrator's, and audits it, in one statement. An
 * account that is one already is left alone, and nothing is audited.
 */
export async function promoteAccount(
  sql: Sql,
  { email, audit }: { email: string; audit: AuditRow },
): Promise<void> {
  await sql`
    with promoted as (
      update accounts set role = 'admin' where email = ${email} and role <> 'admin' returning id
    )
    insert into audit_log (id, actor, action, target, details)
    select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb
    from promoted
  `
}
