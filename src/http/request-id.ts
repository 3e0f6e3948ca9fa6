import { randomChars } from "../ids.ts"

/** Names of headers in lower case, as the framework sends them. */
export type HeaderMap = Record<string, string | number>

const WELL_FORMED = /^[A-Za-z0-9._-]{1,64}$/
const HEADER = "x-request-id"

// Random once per process, counted from there: an id costs no random number.
const prefix = `req_${randomChars(10)}`
let made = 0

/** Gives every answer its `X-Request-Id`: the caller's when it is well formed, else a new one. */
export function assignRequestId({
  request,
  set,
}: {
  request: Request
  set: { headers: HeaderMap }
}): void {
  const given = request.headers.get(HEADER)
  set.headers[HEADER] = given !== null && WELL_FORMED.test(given) ? given : `${prefix}${++made}`
}

/** The id that `assignRequestId` gave to this request. */
export function requestIdOf(headers: HeaderMap): string {
  return String(headers[HEADER] ?? "")
}
