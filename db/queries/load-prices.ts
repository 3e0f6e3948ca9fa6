import type { Sql } from "../connection.ts"

/** The price list, whole: interface and price in fen. */
export function loadPrices(sql: Sql): Promise<{ id: string; priceFen: string }[]> {
  return sql<{ id: string; priceFen: string }[]>`
    select id, price_fen as "priceFen" from interfaces
  `
}
