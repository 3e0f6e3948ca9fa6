import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

type TrialCode = { id: string; code: string; amountFen: number; note: string }

/**
 * Sees to it that the code of a local trial exists, audited in the same statement.
 * Callers may rely on: a code that is there is not changed, unless `withdrawTrialCode` disabled it
 * and nobody has touched it since: then it is enabled again.
 */
export async function offerTrialCode(
  sql: Sql,
  { id, code, amountFen, note }: TrialCode,
  audit: AuditRow,
): Promise<void> {
  await sql`
    with made as (
      insert into redemption_codes (id, code, amount_fen, note)
      values (${id}, ${code}, ${amountFen}, ${note})
      on conflict (code) do nothing
      returning id, 'redemption_code.created' as action
    ), woken as (
      update redemption_codes c set enabled = true
      where code = ${code} and not enabled and (
        select actor = 'system' and action = 'redemption_code.disabled'
        from audit_log where target = c.id order by at desc, id desc limit 1)
      returning id, 'redemption_code.enabled' as action
    )
    insert into audit_log (id, actor, action, target, details)
    select ${audit.id}, ${audit.actor}, action, id, ${audit.details}::text::jsonb
    from (select * from made union all select * from woken) as changed
  `
}

/**
 * Disables the code of a local trial where it was made by the program, audited in the same
 * statement. A code of that name that an administrator made is left alone.
 */
export async function withdrawTrialCode(sql: Sql, code: string, audit: AuditRow): Promise<void> {
  await sql`
    with disabled as (
      update redemption_codes c set enabled = false
      where code = ${code} and enabled and exists (
        select 1 from audit_log
        where target = c.id and actor = 'system' and action = 'redemption_code.created')
      returning id
    )
    insert into audit_log (id, actor, action, target, details)
    select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb
    from disabled
  `
}
