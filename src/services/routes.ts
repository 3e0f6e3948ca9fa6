import { Problem } from "../errors.ts"
import { createActorOf } from "../http/actor.ts"
import type { ClientAddress } from "../http/address.ts"
import type { Guard } from "../http/authenticate.ts"
import { jsonBody } from "../http/body.ts"
import { idParams, Nothing } from "../http/fields.ts"
import {
  PageQuery,
  pageOf,
  readLimit,
  readTimeCursor,
  toPage,
  writeTimeCursor,
} from "../http/paging.ts"
import { pending } from "../http/pending.ts"
import { createPlugin, describe } from "../http/route.ts"
import {
  NewServiceKey,
  ServiceKey,
  ServiceKeyChange,
  ServiceKeyCreated,
  viewServiceKey,
} from "./model.ts"
import { createServices, type ServicesDeps } from "./service.ts"

const TAG = "Administration"
const PATH = "/v1/admin/service-keys"
const PARAMS = idParams("svc")

type RouteDeps = ServicesDeps & { guard: Guard; clientAddress: ClientAddress }

/** An administrator makes, disables and deletes the keys of backends that charge for accounts. */
export function serviceKeyRoutes({ guard, clientAddress, ...deps }: RouteDeps) {
  const services = createServices(deps)
  const actorOf = createActorOf(clientAddress)
  return createPlugin()
    .resolve(guard.admin)
    .post(
      PATH,
      async ({ body: { name }, principal, request, server, set, status }) => {
        const by = actorOf({ principal, request, server, set })
        const { key, credential } = await services.create(name, by)
        return status(201, { ...viewServiceKey(key), key: credential })
      },
      {
        parse: jsonBody,
        body: NewServiceKey,
        response: { 201: ServiceKeyCreated },
        ...describe({ tag: TAG, summary: "Make a service key; it is shown once" }),
      },
    )
    .get(
      PATH,
      async ({ query }) => {
        const limit = readLimit(query)
        const rows = await services.list({ after: readTimeCursor(query), limit: limit + 1 })
        return toPage(rows, { limit, cursorOf: writeTimeCursor, toItem: viewServiceKey })
      },
      {
        query: PageQuery,
        response: { 200: pageOf(ServiceKey) },
        ...describe({ tag: TAG, summary: "Service keys" }),
      },
    )
    .patch(
      `${PATH}/:id`,
      async ({ params: { id }, body, principal, request, server, set }) => {
        const { name = null, enabled: isEnabled = null } = body
        const by = actorOf({ principal, request, server, set })
        const outcome = await services.change({ id, name, isEnabled }, by)
        if (outcome.status === "not_found") throw noSuchKey()
        if (outcome.status === "pending") throw pending("Sending the same again is safe.")
        return viewServiceKey(outcome.key)
      },
      {
        parse: jsonBody,
        params: PARAMS,
        body: ServiceKeyChange,
        response: { 200: ServiceKey },
        ...describe({
          tag: TAG,
          summary: "Rename, disable or enable; a disabled key is dead at once, on every gateway",
          errors: ["not_found", "billing_unavailable"],
        }),
      },
    )
    .delete(
      `${PATH}/:id`,
      async ({ params: { id }, principal, request, server, set, status }) => {
        const outcome = await services.remove(id, actorOf({ principal, request, server, set }))
        if (outcome.status === "not_found") throw noSuchKey()
        if (outcome.status === "pending") {
          throw pending("The key is gone from the list: deleting it again answers 404.")
        }
        return status(204, undefined)
      },
      {
        params: PARAMS,
        response: { 204: Nothing },
        ...describe({
          tag: TAG,
          summary: "Delete; the key is dead at once, on every gateway",
          errors: ["not_found", "billing_unavailable"],
        }),
      },
    )
}

function noSuchKey(): Problem {
  return new Problem("not_found", { detail: "There is no such service key." })
}
