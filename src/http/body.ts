import { Problem } from "../errors.ts"
import { BODY_BYTES_MAX } from "../limits.ts"

type BodyReader = (context: { request: Request }, contentType: string) => Promise<unknown>

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
    if (Number(length) > bytesMax) throw tooLarge(bytesMax)
    return length === "0" ? Promise.resolve(null) : request.json()
  }
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
  return bytes === 0 ? null : JSON.parse(Buffer.concat(chunks).toString("utf8"))
}

function tooLarge(bytesMax: number): Problem {
  return new Problem("body_too_large", {
    detail: `The body may have up to ${bytesMax} bytes. Send less in one request.`,
  })
}
