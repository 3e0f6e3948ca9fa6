import { ERRORS, type ErrorCode, type ProblemFields } from "../errors.ts"
import { type HeaderMap, requestIdOf } from "./request-id.ts"

/** What a handler may say of its answer beside the body. */
export type Outgoing = { status?: number | string; headers: HeaderMap }

/**
 * Makes the answer a refusal, as application/problem+json (RFC 9457): sets its status and headers,
 * and gives its body. `detail` is the title where the refusal has nothing more to say.
 */
export function writeProblem(code: ErrorCode, fields: ProblemFields, set: Outgoing): string {
  const { status } = ERRORS[code]
  const { headers } = fields
  set.status = status
  for (const name in headers) set.headers[name.toLowerCase()] = headers[name] ?? ""
  set.headers["content-type"] = "application/problem+json"
  if (status === 401) set.headers["www-authenticate"] = "Bearer"
  return problemText(code, fields, requestIdOf(set.headers))
}

/** The problem alone: one of several results of a request. */
export function problemText(code: ErrorCode, fields: ProblemFields, requestId: string): string {
  const { status, title, retryable } = ERRORS[code]
  const { detail = title, headers: _, ...extras } = fields
  const type = `/errors/${code}`
  return JSON.stringify({ type, title, status, detail, code, requestId, retryable, ...extras })
}
