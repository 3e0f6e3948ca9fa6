import { setting } from "./setting.ts"

/** The API that is sold, in the benchmark: a small answer in JSON. */
const ANSWER = JSON.stringify({ ok: true, items: [1, 2, 3], name: "an upstream's small answer" })

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(setting("PORT")),
  fetch: () => new Response(ANSWER, { headers: { "content-type": "application/json" } }),
})
