import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

/**
 * Asks for the books to be recomputed, and audits it. Where a run waits or is under way already, that
 * one is answered. Callers may rely on: a process that proves the books takes it within seconds.
 */
export async function askRun(
  sql: Sql,
  { id, audit }: { id: string; audit: AuditRow },
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    with open as (
      select id from reconciliation_runs where finished_at is null order by asked_at, id limit 1
    ), made as (
      insert into reconciliation_runs (id, asked_by)
      select ${id}, ${audit.actor} where not exists (select 1 from open) returning id
    ), meant as (
      select id from made union all select id from open
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}, ${audit.address}
      from meant
    )
    select id from meant
  `
  if (row === undefined) throw new Error("broken invariant: a run is made, or there is one")
  return row.id
}
