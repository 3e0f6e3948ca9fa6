import { Type } from "@sinclair/typebox"
import { interfaces } from "../../db/accounts-schema.ts"
import type { Database, Sql } from "../../db/connection.ts"
import { Problem } from "../errors.ts"
import { createActorOf } from "../http/actor.ts"
import type { ClientAddress } from "../http/address.ts"
import type { Guard } from "../http/authenticate.ts"
import { jsonBody } from "../http/body.ts"
import { CLOSED, money, Nothing } from "../http/fields.ts"
import {
  PageQuery,
  pageOf,
  readIdCursor,
  readLimit,
  toPage,
  writeIdCursor,
} from "../http/paging.ts"
import { createPlugin, describe } from "../http/route.ts"
import { refuseField } from "../http/violations.ts"
import {
  Interface,
  InterfaceChange,
  InterfaceParams,
  NewInterface,
  Price,
  viewInterface,
} from "./model.ts"
import { createInterfaceService, type InterfacesDeps, type SaveOutcome } from "./service.ts"

const TAG = "Administration"
const PATH = "/v1/admin/interfaces"

type RouteDeps = InterfacesDeps & {
  db: Database
  sql: Sql
  guard: Guard
  clientAddress: ClientAddress
}

export function interfaceRoutes(deps: RouteDeps) {
  return createPlugin().use(priceRoutes(deps)).use(adminRoutes(deps))
}

/** The price list, open to everyone; where calls are forwarded is nobody's business. */
function priceRoutes({ db }: { db: Database }) {
  const { id, name, method, path, priceFen, chargeOn } = interfaces
  return createPlugin().get(
    "/v1/interfaces",
    async () => {
      const rows = await db
        .select({ id, name, method, path, priceFen, chargeOn })
        .from(interfaces)
        .orderBy(path, method)
      return {
        items: rows.map(({ priceFen: price, ...rest }) => ({ ...rest, ...money("price", price) })),
      }
    },
    {
      response: { 200: Type.Object({ items: Type.Array(Price) }, CLOSED) },
      ...describe({ tag: "Interfaces", summary: "The price list" }),
    },
  )
}

function adminRoutes({ sql, guard, clientAddress, onChange }: RouteDeps) {
  const service = createInterfaceService({ sql, onChange })
  const actorOf = createActorOf(clientAddress)
  return createPlugin()
    .resolve(guard.admin)
    .get(
      PATH,
      async ({ query }) => {
        const limit = readLimit(query)
        const rows = await service.list({ after: readIdCursor(query), limit: limit + 1 })
        return toPage(rows, { limit, cursorOf: writeIdCursor, toItem: viewInterface })
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Interface) },
        ...describe({ tag: TAG, summary: "Interfaces with their upstreams, by id" }),
      },
    )
    .post(
      PATH,
      async ({ body, principal, request, server, set, status }) => {
        const by = actorOf({ principal, request, server, set })
        return status(201, savedOf(await service.add(body, by)))
      },
      {
        parse: jsonBody,
        body: NewInterface,
        response: { 201: Interface },
        ...describe({ tag: TAG, summary: "Make an interface; gateways know of it at once" }),
      },
    )
    .get(
      `${PATH}/:id`,
      async ({ params: { id } }) => {
        const found = await service.read(id)
        if (found === null) throw noSuchInterface()
        return viewInterface(found)
      },
      {
        params: InterfaceParams,
        response: { 200: Interface },
        ...describe({ tag: TAG, summary: "An interface", errors: ["not_found"] }),
      },
    )
    .patch(
      `${PATH}/:id`,
      async ({ params: { id }, body, principal, request, server, set }) => {
        const by = actorOf({ principal, request, server, set })
        return savedOf(await service.change(id, body, by))
      },
      {
        parse: jsonBody,
        params: InterfaceParams,
        body: InterfaceChange,
        response: { 200: Interface },
        ...describe({
          tag: TAG,
          summary: "Change an interface; calls under way keep what they began with",
          errors: ["not_found"],
        }),
      },
    )
    .delete(
      `${PATH}/:id`,
      async ({ params: { id }, principal, request, server, set, status }) => {
        const by = actorOf({ principal, request, server, set })
        if (!(await service.remove(id, by))) throw noSuchInterface()
        return status(204, undefined)
      },
      {
        params: InterfaceParams,
        response: { 204: Nothing },
        ...describe({ tag: TAG, summary: "Delete an interface", errors: ["not_found"] }),
      },
    )
}

function savedOf(outcome: SaveOutcome) {
  switch (outcome.status) {
    case "saved":
      return viewInterface(outcome.saved)
    case "not_found":
      throw noSuchInterface()
    case "refused":
      throw new Problem("validation_failed", refuseField(outcome.path, outcome.message))
  }
}

function noSuchInterface(): Problem {
  return new Problem("not_found", { detail: "There is no such interface." })
}
