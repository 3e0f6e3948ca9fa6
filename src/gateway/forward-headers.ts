import type { HeaderMap } from "../http/request-id.ts"
import { withoutSession } from "../http/session-cookie.ts"
import { readCredential } from "../ids.ts"

/** What the upstream is told of a call, beside what the caller says. */
export type Told = {
  accountId: string
  keyId: string
  requestId: string
  /** The caller's address, and how he reached this installation. */
  address: string
  protocol: string
  host: string
}

/** They are about one connection, and not about the call (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]

/**
 * What an upstream would believe of a caller because it comes from us; and what makes some of them
 * serve another method or path than the one that was priced.
 */
const NOT_THE_CALLERS = [
  "x-account-id",
  "x-key-id",
  "x-request-id",
  "x-real-ip",
  "x-original-method",
  "x-original-uri",
  "x-original-url",
  "x-rewrite-url",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "forwarded",
]

/** `host` is the upstream's own; `expect` was answered by our server. */
const REQUEST_ONLY = ["host", "expect", "http2-settings"]
const DROPPED = new Set([...HOP_BY_HOP, ...NOT_THE_CALLERS, ...REQUEST_ONLY])

/**
 * Makes the headers of a call those that its upstream gets, in place: no copy is made, and nothing
 * may read the caller's own afterwards. Many servers read `X_Account_Id` as `X-Account-Id`, so that
 * an underscore saves nothing that is dropped.
 */
export function toUpstream(headers: Headers, told: Told): Headers {
  const connection = headers.get("connection")
  if (connection !== null) dropNamed(headers, connection)
  dropCredentials(headers)
  for (const name of [...headers.keys()]) {
    const plain = name.includes("_") ? name.replaceAll("_", "-") : name
    if (DROPPED.has(plain) || plain.startsWith("x-forwarded-")) headers.delete(name)
  }
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity")
  headers.set("x-account-id", told.accountId)
  headers.set("x-key-id", told.keyId)
  headers.set("x-request-id", told.requestId)
  headers.set("x-forwarded-for", told.address)
  headers.set("x-forwarded-proto", told.protocol)
  headers.set("x-forwarded-host", told.host)
  return headers
}

/** Makes the headers of an upstream's answer those that the caller gets, in place. */
export function toCaller(headers: Headers, ours: Readonly<HeaderMap>): void {
  const connection = headers.get("connection")
  if (connection !== null) dropNamed(headers, connection)
  for (const name of HOP_BY_HOP) headers.delete(name)
  for (const name of OURS) headers.delete(name)
  for (const name in ours) headers.set(name, String(ours[name]))
}

/** The cost is between the upstream and us; the rest is said by us or not at all. */
const OURS = ["x-cost-fen", "x-charge-id", "x-charge-fen", "x-available-fen"]

/** `Connection` names the headers that are meant for one connection only. */
function dropNamed(headers: Headers, connection: string): void {
  for (const part of connection.split(",")) {
    const name = part.trim()
    // What is no name would throw.
    if (/^[\w!#$%&'*+.^`|~-]+$/.test(name)) headers.delete(name)
  }
}

/** Our credentials are for us: an upstream that saw one could spend the caller's balance. */
function dropCredentials(headers: Headers): void {
  if (headers.has("authorization")) headers.delete("authorization")
  else headers.delete("x-api-key")
  const other = headers.get("x-api-key")
  if (other !== null && readCredential(other) !== null) headers.delete("x-api-key")
  const cookie = headers.get("cookie")
  if (cookie === null) return
  const others = withoutSession(cookie)
  if (others === null) headers.delete("cookie")
  else if (others !== cookie) headers.set("cookie", others)
}
