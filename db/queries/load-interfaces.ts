import type { Sql } from "../connection.ts"

export type LoadedInterface = {
  id: string
  method: string
  path: string
  priceFen: string
  chargeOn: string
  upstreamUrl: string | null
  timeoutMs: number
  bodyBytesMax: string
}

/** Everything that a gateway must know of the interfaces, whole: one consistent list. */
export function loadInterfaces(sql: Sql): Promise<LoadedInterface[]> {
  return sql<LoadedInterface[]>`
    select id, method, path, price_fen as "priceFen", charge_on as "chargeOn",
      upstream_url as "upstreamUrl", timeout_ms as "timeoutMs", body_bytes_max as "bodyBytesMax"
    from interfaces
    order by id
  `
}
