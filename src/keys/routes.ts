import { Problem } from "../errors.ts"
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
import { refuseField } from "../http/violations.ts"
import { KEYS_PER_ACCOUNT_MAX } from "../limits.ts"
import { readLimits, unknownInterfaces } from "./limits.ts"
import { Key, KeyChange, KeyCreated, NewKey, Rotation, viewKey } from "./model.ts"
import { createKeys, type KeysDeps } from "./service.ts"

const TAG = "API keys"
const PARAMS = idParams("key")

export function keyRoutes({ guard, ...deps }: KeysDeps & { guard: Guard }) {
  const keys = createKeys(deps)
  return createPlugin()
    .resolve(guard.account)
    .post(
      "/v1/keys",
      async ({ principal: { accountId }, body: { name, limits }, status }) => {
        const outcome = await keys.create({ accountId, name, limits: readLimits(limits) })
        if (outcome.status === "unknown_interfaces") throw unknownInterfaces(outcome.ids)
        if (outcome.status === "too_many_keys") throw tooManyKeys()
        return status(201, { ...viewKey(outcome.key), key: outcome.credential })
      },
      {
        parse: jsonBody,
        body: NewKey,
        response: { 201: KeyCreated },
        ...describe({ tag: TAG, summary: "Make a key; it is shown once" }),
      },
    )
    .get(
      "/v1/keys",
      async ({ principal: { accountId }, query }) => {
        const limit = readLimit(query)
        const rows = await keys.list({ accountId, after: readTimeCursor(query), limit: limit + 1 })
        return toPage(rows, { limit, cursorOf: writeTimeCursor, toItem: viewKey })
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Key) },
        ...describe({ tag: TAG, summary: "The account's keys" }),
      },
    )
    .get(
      "/v1/keys/:id",
      async ({ principal: { accountId }, params: { id } }) => {
        const key = await keys.read({ accountId, id })
        if (key === null) throw noSuchKey()
        return viewKey(key)
      },
      {
        params: PARAMS,
        response: { 200: Key },
        ...describe({ tag: TAG, summary: "One key", errors: ["not_found"] }),
      },
    )
    .patch(
      "/v1/keys/:id",
      async ({
        principal: { accountId },
        params: { id },
        body: { name = null, enabled = null, limits: asked },
      }) => {
        const limits = asked === undefined ? null : readLimits(asked)
        const outcome = await keys.change({ accountId, id, name, isEnabled: enabled, limits })
        if (outcome.status === "unknown_interfaces") throw unknownInterfaces(outcome.ids)
        if (outcome.status === "not_found") throw noSuchKey()
        if (outcome.status === "pending") throw pending("Sending the same again is safe.")
        return viewKey(outcome.key)
      },
      {
        parse: jsonBody,
        params: PARAMS,
        body: KeyChange,
        response: { 200: Key },
        ...describe({
          tag: TAG,
          summary:
            "Rename, disable or enable, or change limits; it holds at once, on every gateway",
          errors: ["not_found", "billing_unavailable"],
        }),
      },
    )
    .post(
      "/v1/keys/:id/rotations",
      async ({ principal: { accountId }, params: { id }, body: { overlapSeconds }, status }) => {
        const outcome = await keys.rotate({ accountId, id, overlapSeconds })
        if (outcome.status === "not_found") throw noSuchKey()
        if (outcome.status === "unavailable") throw notRotated()
        if (outcome.status === "pending")
          throw pending("The new secret was not shown: rotate again to get one.")
        return status(201, { ...viewKey(outcome.key), key: outcome.credential })
      },
      {
        parse: jsonBody,
        params: PARAMS,
        body: Rotation,
        response: { 201: KeyCreated },
        ...describe({
          tag: TAG,
          summary:
            "A new secret, shown once; the one before opens the key until the overlap ends, and an earlier one no more",
          errors: ["not_found", "billing_unavailable"],
        }),
      },
    )
    .delete(
      "/v1/keys/:id",
      async ({ principal: { accountId }, params: { id }, status }) => {
        const outcome = await keys.remove({ accountId, id })
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
  return new Problem("not_found", { detail: "This account has no such key." })
}

function tooManyKeys(): Problem {
  return new Problem(
    "validation_failed",
    refuseField("", `An account may have ${KEYS_PER_ACCOUNT_MAX} keys: delete one first.`),
  )
}

function notRotated(): Problem {
  return new Problem("billing_unavailable", {
    detail: "Nothing was changed: a rotation ends a secret on every gateway, which needs billing.",
    headers: { "Retry-After": "1" },
  })
}
