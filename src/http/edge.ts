import { Elysia } from "elysia"
import { SERVER_BODY_BYTES_MAX } from "../limits.ts"
import type { RequireCredential } from "./door.ts"
import { describeFailure, isAboutContent, toProblem } from "./failure.ts"
import { writeProblem } from "./problem.ts"
import { assignRequestId, requestIdOf } from "./request-id.ts"

/**
 * The bare app that every plugin is mounted on: request ids, and refusals as problem+json. Nothing
 * else is global, because the hot path passes through here too.
 */
export function createEdge({
  log,
  requireCredential,
}: {
  log(message: string): void
  requireCredential: RequireCredential
}) {
  return new Elysia({
    normalize: false,
    precompile: true,
    serve: { maxRequestBodySize: SERVER_BODY_BYTES_MAX, development: false },
  })
    .onRequest(assignRequestId)
    .onError({ as: "global" }, async ({ error, set, request, route }) => {
      const { code, fields } = toProblem(
        isAboutContent(error)
          ? await firstOf(() => requireCredential(request, route), error)
          : error,
      )
      if (code === "internal_error") log(describeFailure(error, requestIdOf(set.headers)))
      return writeProblem(code, fields, set)
    })
}

/** What the check throws, else the error that led to it. */
async function firstOf(check: () => Promise<void>, error: unknown): Promise<unknown> {
  try {
    await check()
  } catch (earlier) {
    return earlier
  }
  return error
}
