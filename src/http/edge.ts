import { Elysia } from "elysia"
import { SERVER_BODY_BYTES_MAX } from "../limits.ts"
import { describeFailure, toProblem } from "./failure.ts"
import { writeProblem } from "./problem.ts"
import { assignRequestId, requestIdOf } from "./request-id.ts"

/**
 * The bare app that every plugin is mounted on: request ids, and refusals as problem+json. Nothing
 * else is global, because the hot path passes through here too.
 */
export function createEdge({ log }: { log(message: string): void }) {
  return new Elysia({
    normalize: false,
    precompile: true,
    serve: { maxRequestBodySize: SERVER_BODY_BYTES_MAX, development: false },
  })
    .onRequest(assignRequestId)
    .onError({ as: "global" }, ({ error, set }) => {
      const { code, fields } = toProblem(error)
      if (code === "internal_error") log(describeFailure(error, requestIdOf(set.headers)))
      return writeProblem(code, fields, set)
    })
}
