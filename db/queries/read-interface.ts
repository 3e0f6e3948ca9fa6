import type { Sql } from "../connection.ts"
import type { ListedInterface } from "./list-interfaces.ts"

/** One interface, or null. */
export async function readInterface(sql: Sql, id: string): Promise<ListedInterface | null> {
  const rows = await sql<ListedInterface[]>`
    select id, name, method, path, price_fen as "priceFen", charge_on as "chargeOn",
      upstream_url as "upstreamUrl", timeout_ms as "timeoutMs", body_bytes_max as "bodyBytesMax"
    from interfaces
    where id = ${id}
  `
  return rows[0] ?? null
}
