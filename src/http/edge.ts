import { Elysia } from "elysia"
import { SERVER_BODY_BYTES_MAX } from "../limits.ts"
import type { AddressSource } from "./address.ts"
import type { RequireCredential } from "./door.ts"
import { describeFailure, isAboutContent, toProblem } from "./failure.ts"
import { type Outgoing, writeProblem } from "./problem.ts"
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
      const { code, fields } = toProblem(
        isAboutContent(error)
          ? await firstOf(() => requireCredential(request, route), error)
          : error,
      )
      if (code === "internal_error") log(describeFailure(error, requestIdOf(set.headers)))
      return writeProblem(code, fields, set)
    })
}

/** The server's own routes, by path. */
export type Routes = Record<string, (request: Request, server: EdgeServer) => Promise<Response>>
export type EdgeServer = NonNullable<AddressSource> & {
  timeout(request: Request, seconds: number): void
}

type Handler = (incoming: {
  request: Request
  set: Outgoing
  server: EdgeServer | null
}) => Promise<Response | string>

/**
 * A handler as a route of the server itself, with what the edge does for all others. The framework
 * costs 7 of the 45 µs that it takes to forward a call, and a forwarded call needs nothing of it.
 */
export function createPastEdge(handler: Handler, log: (message: string) => void) {
  return async function pastEdge(request: Request, server: EdgeServer | null): Promise<Response> {
    const set: Outgoing = { status: 200, headers: {} }
    assignRequestId({ request, set })
    let answer: Response | string
    try {
      answer = await handler({ request, set, server })
    } catch (error) {
      const { code, fields } = toProblem(error)
      if (code === "internal_error") log(describeFailure(error, requestIdOf(set.headers)))
      answer = writeProblem(code, fields, set)
    }
    if (answer instanceof Response) return answer
    const headers: Record<string, string> = {}
    for (const name in set.headers) headers[name] = String(set.headers[name])
    return new Response(answer, { status: Number(set.status), headers })
  }
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
