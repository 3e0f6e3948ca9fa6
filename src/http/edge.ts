import { Elysia } from "elysia"
import { SERVER_BODY_BYTES_MAX } from "../limits.ts"
import { closedFirst, type RequireCredential } from "./door.ts"
import { describeFailure, toProblem } from "./failure.ts"
import type { Routes } from "./past-edge.ts"
import { writeProblem } from "./problem.ts"
import { assignRequestId, requestIdOf } from "./request-id.ts"

/**
 * The bare app that every plugin is mounted on: request ids, and refusals as problem+json. Nothing
 * else is global, because the hot path passes through here too.
 */
export function createEdge({
  log,
  requireCredential,
  routes = {},
}: {
  log(message: string): void
  requireCredential: RequireCredential
  /** Answered past the framework, and all that is done here: see `createPastEdge`. */
  routes?: Routes
}) {
  return new Elysia({
    normalize: false,
    precompile: true,
    serve: { maxRequestBodySize: SERVER_BODY_BYTES_MAX, development: false, routes },
  })
    .onRequest(assignRequestId)
    .onError({ as: "global" }, async ({ error, set, request, route }) => {
      const reason = await closedFirst(error, () => requireCredential(request, route))
      const { code, fields } = toProblem(reason)
      if (code === "internal_error") log(describeFailure(error, requestIdOf(set.headers)))
      return writeProblem(code, fields, set)
    })
}
