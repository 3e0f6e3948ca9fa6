import { arrayText } from "../array.ts"
import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import type { ListedCode } from "./list-codes.ts"

export type NewCodes = {
  codes: readonly { id: string; code: string }[]
  amountFen: number
  totalUses: number | null
  startsAt: Date | null
  expiresAt: Date | null
  note: string | null
  audit: AuditRow
}

/**
 * Makes redemption codes, and the audit row that says so, in one statement.
 * Callers may rely on: all of them or none; where one exists already, it throws 23505 on
 * `redemption_codes_code_unique`.
 */
export function makeCodes(sql: Sql, made: NewCodes): Promise<ListedCode[]> {
  const { codes, amountFen, totalUses, startsAt, expiresAt, note, audit } = made
  return sql<ListedCode[]>`
    with made as (
      insert into redemption_codes (id, code, amount_fen, total_uses, starts_at, expires_at, note)
      select c.id, c.code, ${amountFen}::bigint, ${totalUses}::integer,
        ${startsAt?.toISOString() ?? null}::text::timestamptz,
        ${expiresAt?.toISOString() ?? null}::text::timestamptz, ${note}::text
      from unnest(${arrayText(codes.map(({ id }) => id))}::text::text[],
        ${arrayText(codes.map(({ code }) => code))}::text::text[]) as c(id, code)
      returning *
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, (select min(id) from made),
        ${audit.details}::text::jsonb, ${audit.requestId}::text, ${audit.address}::text
    )
    select id, code, amount_fen as "amountFen", total_uses as "totalUses", used,
      starts_at as "startsAt", expires_at as "expiresAt", enabled, note, created_at as "createdAt"
    from made order by id desc
  `
}
