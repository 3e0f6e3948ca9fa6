import type { Target } from "./connection.ts"

/** The address of a server, and what stands before every path there. Throws a sentence. */
export function parseServer(url: string): { target: Target; prefix: string; host: string } {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol)) {
    throw new RangeError("The server's URL must begin with http:// or https://.")
  }
  const isTls = parsed.protocol === "https:"
  const port = Number(parsed.port || (isTls ? 443 : 80))
  const host = parsed.hostname.replace(/^\[(.*)\]$/, "$1")
  return {
    target: { host, port, isTls },
    prefix: parsed.pathname.replace(/\/$/, ""),
    host: parsed.host,
  }
}

export type Call = { path: string; key: string; body: string | null; requestId?: string }

/** The bytes of a call as a client with an API key sends it: a POST where it has a body. */
export function writeRequest(url: string, { path, key, body, requestId }: Call): Uint8Array {
  const { prefix, host } = parseServer(url)
  const content =
    body === null
      ? []
      : ["content-type: application/json", `content-length: ${Buffer.byteLength(body)}`]
  const lines = [
    `${body === null ? "GET" : "POST"} ${prefix}${path} HTTP/1.1`,
    `host: ${host}`,
    `authorization: Bearer ${key}`,
    "accept: */*",
    ...(requestId === undefined ? [] : [`x-request-id: ${requestId}`]),
    ...content,
  ]
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body ?? ""}`)
}
