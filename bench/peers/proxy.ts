import { setting } from "./setting.ts"

/**
 * The least that a reverse proxy on Bun can do: one `fetch`, with what keeps it right (no redirect
 * followed, nothing unpacked, an end of the caller passed on), and no billing.
 */

const upstreamUrl = setting("UPSTREAM_URL")

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(setting("PORT")),
  fetch(request) {
    const { pathname, search } = new URL(request.url)
    return fetch(upstreamUrl + pathname + search, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      signal: request.signal,
      redirect: "manual",
      decompress: false,
    })
  },
})
