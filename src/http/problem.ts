import { ERRORS, type ErrorCode, type ProblemFields } from "../errors.ts"
import { type HeaderMap, requestIdOf } from "./request-id.ts"

/** What a handler may say of its answer beside the body. */
export type Outgoing = { status?: number | string; headers: HeaderMap }

/**
 * Makes the answer a refusal, as application/problem+json (RFC 9457): sets its status and headers,
 * and gives its body. `detail` is the title where the refusal has nothing more to say.
 */
export function writeProblem(code: ErrorCode, fields: ProblemFields, set: Outgoing): string {
  const { status, title, retryable } = ERRORS[code]
  const { detail, headers, ...extras } = fields
  set.status = status
  for (const name in headers) set.headers[name.toLowerCase()] = headers[name] ?? ""
  set.headers["content-type"] = "application/problem+json"
  if (status === 401) set.headers["www-authenticate"] = "Bearer"
  return JSON.stringify({
    type: `/errors/${code}`,
    title,
    status,
    detail: detail ?? title,
    code,
    requestId: requestIdOf(set.headers),
    retryable,
    ...extras,
  })
}
