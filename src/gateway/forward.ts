import { codeOf } from "../embedded/processes.ts"
import type { Interface } from "./interfaces.ts"
import { type ForwardedBody, limitBytes } from "./request-body.ts"
import type { EndReason, Watch } from "./watch.ts"

/** A call on its way to its upstream. */
export type Forwarding = {
  request: Request
  /** Where it goes, with its query. */
  url: string
  headers: Headers
  body: ForwardedBody
  limits: Pick<Interface, "timeoutMs" | "bodyBytesMax">
}

export type Forwarded =
  /** Its body has not been read: whoever does not pass it on must abort it. */
  | { status: "answered"; response: Response; controller: AbortController }
  | { status: "upstream_failed"; code: string }
  | { status: EndReason }

/**
 * Sends a call to its upstream, and answers when the head of the upstream's answer is there. Bodies
 * flow both ways no faster than the slower side takes them (Bun's own streams do that; a
 * TransformStream between them would cost three times as much), and a caller who hangs up later
 * ends the upstream's answer by himself.
 */
export function createForward(watch: Watch) {
  return async function forward(forwarding: Forwarding): Promise<Forwarded> {
    const { request, url, headers, body, limits } = forwarding
    const call = watch.begin(request, limits.timeoutMs)
    const { controller } = call
    try {
      const response = await fetch(url, {
        method: request.method,
        headers,
        body:
          body instanceof ReadableStream && !headers.has("content-length")
            ? limitBytes(body, limits.bodyBytesMax, () => watch.end(call, "body_too_large"))
            : body,
        signal: controller.signal,
        redirect: "manual",
        decompress: false,
        // Upstreams come from the configuration, and not from variables such as HTTP_PROXY.
        proxy: false,
        // A stream may be silent for hours: `timeoutMs` ends where the answer begins.
        timeout: false,
      })
      if (call.endedBecause !== null) return { status: call.endedBecause }
      return { status: "answered", response, controller }
    } catch (error) {
      if (call.endedBecause !== null) return { status: call.endedBecause }
      if (request.signal.aborted) return { status: "caller_gone" }
      return { status: "upstream_failed", code: codeOf(error) || "unknown" }
    } finally {
      watch.over(call)
    }
  }
}
