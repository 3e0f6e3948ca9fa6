import { Type } from "@sinclair/typebox"
import type { Database } from "../../db/connection.ts"
import { interfaces } from "../../db/schema.ts"
import { CLOSED, Cny, GivenFen, money } from "../http/fields.ts"
import { createPlugin, describe } from "../http/route.ts"

const Interface = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    method: Type.String(),
    path: Type.String(),
    priceFen: GivenFen,
    price: Cny,
    chargeOn: Type.String({ description: "which answers of the upstream are charged" }),
  },
  CLOSED,
)

/** The price list, open to everyone. */
export function interfaceRoutes({ db }: { db: Database }) {
  return createPlugin().get(
    "/v1/interfaces",
    async () => {
      const rows = await db.select().from(interfaces).orderBy(interfaces.path, interfaces.method)
      return {
        items: rows.map(({ priceFen, ...rest }) => ({ ...rest, ...money("price", priceFen) })),
      }
    },
    {
      response: { 200: Type.Object({ items: Type.Array(Interface) }, CLOSED) },
      ...describe({ tag: "Interfaces", summary: "The price list" }),
    },
  )
}
