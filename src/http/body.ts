import { Problem } from "../errors.ts"
import { BODY_BYTES_MAX, JSON_DEPTH_MAX, JSON_SHALLOW_BYTES } from "../limits.ts"

export type BodyReader = (context: { request: Request }, contentType: string) => Promise<unknown>

/** Reads a JSON body of up to `BODY_BYTES_MAX`; goes into a route as `parse: jsonBody`. */
export const jsonBody = createJsonBody(BODY_BYTES_MAX)

/**
 * A body that says its length is refused or read at once; one that does not is read piece by piece
 * up to the bound (Bun's own bound answers a bare 413 that no hook sees). No body at all is null,
 * which no schema accepts. Not async by itself: that saves the hot path a promise.
 *
 * Throws `Problem` 413 and 415; what `JSON.parse` throws, RangeError of too deep JSON included, is
 * `malformed_json` to the client.
 */
export function createJsonBody(bytesMax: number): BodyReader {
  return function readJson({ request }, contentType) {
    if (contentType !== "application/json" && contentType !== "") requireJson(contentType)
    const length = request.headers.get("content-length")
    if (length === null) return readUnannounced(request, bytesMax)
    const bytes = Number(length)
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    if (bytes === 0) return Promise.resolve(null)
    return bytes <= JSON_SHALLOW_BYTES ? request.json() : request.json().then(requireShallow)
  }
}

/**
 * Nothing of ours is nested deeply, and a refusal of what is costs seconds: the framework writes it
 * out, indented (30,000 levels took 10 s).
 */
function requireShallow(body: unknown): unknown {
  if (isShallow(body, JSON_DEPTH_MAX)) return body
  throw new Problem("malformed_json", {
    detail: `The body is nested deeper than ${JSON_DEPTH_MAX} levels. No request needs that.`,
  })
}

function isShallow(value: unknown, depthLeft: number): boolean {
  if (typeof value !== "object" || value === null) return true
  if (depthLeft === 0) return false
  return Object.values(value).every((inner) => isShallow(inner, depthLeft - 1))
}

function requireJson(contentType: string): void {
  if (contentType.trim().toLowerCase() === "application/json") return
  throw new Problem("unsupported_media_type", {
    detail: "The body must be JSON: send it with Content-Type: application/json.",
  })
}

async function readUnannounced(request: Request, bytesMax: number): Promise<unknown> {
  if (request.body === null) return null
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request.body) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    chunks.push(chunk)
  }
  if (bytes === 0) return null
  return requireShallow(JSON.parse(Buffer.concat(chunks).toString("utf8")))
}

function tooLarge(bytesMax: number): Problem {
  return new Problem("body_too_large", {
    detail: `The body may have up to ${bytesMax} bytes. Send less in one request.`,
    // What is still on its way is not read: the connection cannot carry another request.
    headers: { Connection: "close" },
  })
}
