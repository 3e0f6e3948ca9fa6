import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import type { ListedInterface } from "./list-interfaces.ts"
import { INTERFACES_CHANNEL } from "./listen-interfaces.ts"

export type NewInterface = {
  id: string
  name: string
  method: string
  path: string
  priceFen: number
  chargeOn: string
  upstreamUrl: string | null
  timeoutMs: number
  bodyBytesMax: number
}

/**
 * Makes an interface, and the audit row that says so, and tells the gateways, in one statement.
 * Callers may rely on: where one has its id, or its method and path, it throws 23505 on
 * `interfaces_pkey` or `interfaces_method_path`, and nothing is told.
 */
export async function addInterface(
  sql: Sql,
  { audit, ...made }: NewInterface & { audit: AuditRow },
): Promise<ListedInterface> {
  const [row] = await sql<ListedInterface[]>`
    with added as (
      insert into interfaces (id, name, method, path, price_fen, charge_on, upstream_url, timeout_ms,
        body_bytes_max)
      values (${made.id}, ${made.name}, ${made.method}, ${made.path}, ${made.priceFen},
        ${made.chargeOn}, ${made.upstreamUrl}::text, ${made.timeoutMs}, ${made.bodyBytesMax})
      returning *
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from added
    ), told as (
      select pg_notify(${INTERFACES_CHANNEL}, id) from added
    )
    select id, name, method, path, price_fen as "priceFen", charge_on as "chargeOn",
      upstream_url as "upstreamUrl", timeout_ms as "timeoutMs", body_bytes_max as "bodyBytesMax"
    from added where (select count(*) from told) > 0
  `
  if (row === undefined) throw new Error("an insert that answers no row")
  return row
}
