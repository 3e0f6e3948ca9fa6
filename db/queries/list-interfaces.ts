import type { Sql } from "../connection.ts"

export type ListedInterface = {
  id: string
  name: string
  method: string
  path: string
  priceFen: string
  chargeOn: string
  upstreamUrl: string | null
  timeoutMs: number
  bodyBytesMax: string
}

/** Interfaces by their ids, after one of them. */
export function listInterfaces(
  sql: Sql,
  { after, limit }: { after: string; limit: number },
): Promise<ListedInterface[]> {
  return sql<ListedInterface[]>`
    select id, name, method, path, price_fen as "priceFen", charge_on as "chargeOn",
      upstream_url as "upstreamUrl", timeout_ms as "timeoutMs", body_bytes_max as "bodyBytesMax"
    from interfaces
    where id > ${after}
    order by id
    limit ${limit}
  `
}
