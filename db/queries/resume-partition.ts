import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"

/**
 * Lets a stopped partition go on, and audits it. Callers may rely on: it happens only if the partition
 * was stopped for this very reason (false otherwise).
 */
export async function resumePartition(
  sql: Sql,
  { partition, reason, audit }: { partition: number; reason: string; audit: AuditRow },
): Promise<boolean> {
  const rows = await sql`
    with resumed as (
      update partitions set stopped_because = null
      where partition = ${partition} and stopped_because = ${reason}
      returning partition
    )
    insert into audit_log (id, actor, action, target, details, request_id, address)
    select ${audit.id}, ${audit.actor}, ${audit.action}, 'partition ' || partition,
      ${audit.details}::text::jsonb, ${audit.requestId}, ${audit.address}
    from resumed
    returning 1
  `
  return rows.length === 1
}
