import type { AuditRow } from "../audit.ts"
import type { Sql } from "../connection.ts"
import type { NewInterface } from "./add-interface.ts"
import type { ListedInterface } from "./list-interfaces.ts"
import { INTERFACES_CHANNEL } from "./listen-interfaces.ts"

/** What is left out stays; `upstreamUrl` null takes it away. */
export type InterfaceChange = Partial<Omit<NewInterface, "id">>

/**
 * Changes an interface, writes the audit row, and tells the gateways, in one statement; null where
 * there is no such interface, and then nothing is told. Callers may rely on: where another has its
 * method and path, it throws 23505 on `interfaces_method_path`.
 */
export async function changeInterface(
  sql: Sql,
  { id, change, audit }: { id: string; change: InterfaceChange; audit: AuditRow },
): Promise<ListedInterface | null> {
  const hasUpstream = change.upstreamUrl !== undefined
  const rows = await sql<ListedInterface[]>`
    with changed as (
      update interfaces
      set name = coalesce(${change.name ?? null}::text, name),
        method = coalesce(${change.method ?? null}::text, method),
        path = coalesce(${change.path ?? null}::text, path),
        price_fen = coalesce(${change.priceFen ?? null}::bigint, price_fen),
        charge_on = coalesce(${change.chargeOn ?? null}::text, charge_on),
        upstream_url = case when ${hasUpstream}::boolean then ${change.upstreamUrl ?? null}::text
          else upstream_url end,
        timeout_ms = coalesce(${change.timeoutMs ?? null}::integer, timeout_ms),
        body_bytes_max = coalesce(${change.bodyBytesMax ?? null}::bigint, body_bytes_max)
      where id = ${id}
      returning *
    ), audited as (
      insert into audit_log (id, actor, action, target, details, request_id, address)
      select ${audit.id}, ${audit.actor}, ${audit.action}, id, ${audit.details}::text::jsonb,
        ${audit.requestId}::text, ${audit.address}::text
      from changed
    ), told as (
      select pg_notify(${INTERFACES_CHANNEL}, id) from changed
    )
    select id, name, method, path, price_fen as "priceFen", charge_on as "chargeOn",
      upstream_url as "upstreamUrl", timeout_ms as "timeoutMs", body_bytes_max as "bodyBytesMax"
    from changed where (select count(*) from told) > 0
  `
  return rows[0] ?? null
}
