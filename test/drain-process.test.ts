import { afterEach, expect, test } from "bun:test"
import { once } from "node:events"
import http from "node:http"
import net from "node:net"
import { text } from "node:stream/consumers"
import { Elysia } from "elysia"
import { createDrain, type DrainOptions } from "../src/gateway/drain.ts"
import { acceptAtOnce, findListener, isMigrating } from "../src/gateway/listener.ts"
import { call } from "./support/callers.ts"
import { eventually } from "./support/eventually.ts"

/** An app with calls that end when the test says so. */
function startApp() {
  const gate = Promise.withResolvers<string>()
  const started = Promise.withResolvers<void>()
  const encoder = new TextEncoder()
  const app = new Elysia({ normalize: false })
    .get("/quick", () => "quick")
    .get("/slow", () => {
      started.resolve()
      return gate.promise
    })
    .get("/stream", () => {
      started.resolve()
      const body = new ReadableStream({
        async start(controller) {
          controller.enqueue(encoder.encode("begun, "))
          controller.enqueue(encoder.encode(await gate.promise))
          controller.close()
        },
      })
      return new Response(body)
    })
    .listen({ hostname: "127.0.0.1", port: 0 })
  apps.push(app)
  const port = app.server?.port ?? 0
  acceptAtOnce(port)
  return { app, port, gate, started: started.promise }
}

const apps: { stop(isAbrupt: boolean): Promise<unknown> }[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.stop(true)
})

const log: string[] = []
const drainWith = (options: Partial<DrainOptions> = {}) =>
  createDrain({ host: "127.0.0.1", noticeMs: 0, log: (line) => void log.push(line), ...options })
const atOnce = async () => "stopping" as const
const keepAlive = () => new http.Agent({ keepAlive: true, maxSockets: 1 })
const codeOf = (error: { code: string }) => error.code
const isRefused = async (port: number) =>
  (await call({ port, path: "/quick", agent: new http.Agent() }).catch(codeOf)) === "ECONNREFUSED"

for (const path of ["/slow", "/stream"]) {
  test(`a call of ${path} in flight ends with its whole answer, long after the port is closed`, async () => {
    const { app, port, gate, started } = startApp()
    const inFlight = call({ port, path, agent: keepAlive() })
    await started
    const drained = drainWith().run(app, atOnce)
    await eventually(() => isRefused(port))
    gate.resolve("ended")
    const answer = await inFlight
    expect([answer.status, answer.body]).toEqual([200, path === "/slow" ? "ended" : "begun, ended"])
    await drained
    expect(app.server?.pendingRequests).toBe(0)
  })
}

test("a connection that is there when the port closes gets its answer, and is told to close", async () => {
  const { app, port } = startApp()
  const agent = keepAlive()
  const first = await call({ port, path: "/quick", agent })
  expect(first.headers.connection).not.toBe("close")
  const leave = Promise.withResolvers<"replaced">()
  const drained = drainWith().run(app, () => leave.promise)
  // Until another has its place, it goes on as before.
  expect((await call({ port, path: "/quick", agent })).headers.connection).not.toBe("close")
  leave.resolve("replaced")
  await eventually(async () => {
    const { status, headers } = await call({ port, path: "/quick", agent })
    expect(status).toBe(200)
    return headers.connection === "close"
  })
  await drained
  expect(findListener(port)?.connections()).toBe(0)
})

test("a connection on which nothing was sent yet when the port closes gets its answer", async () => {
  const { app, port } = startApp()
  const socket = net.connect(port, "127.0.0.1")
  await once(socket, "connect")
  const drained = drainWith().run(app, atOnce)
  await eventually(() => isRefused(port))
  socket.write("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
  expect(await text(socket)).toMatch(/^HTTP\/1.1 200 .*\bquick/s)
  await drained
})

test("a call that does not end is cut off, and told of", async () => {
  const { app, port, started } = startApp()
  const inFlight = call({ port, path: "/slow", agent: keepAlive() }).catch(codeOf)
  await started
  await drainWith({ callsMsMax: 200 }).run(app, atOnce)
  expect(await inFlight).toBe("ECONNRESET")
  expect(log.at(-1)).toBe("stopping: 1 calls did not end within 200 ms")
})

test("where the system has no such calls, what is in flight ends all the same", async () => {
  const { app, port, gate, started } = startApp()
  const inFlight = call({ port, path: "/slow", agent: keepAlive() })
  await started
  const drained = drainWith({ openListener: () => null }).run(app, atOnce)
  await eventually(() => isRefused(port))
  gate.resolve("ended")
  expect((await inFlight).body).toBe("ended")
  await drained
})

test("/readyz is unavailable from the moment at which it was told to stop", async () => {
  const { app } = startApp()
  const drain = drainWith()
  const ready = async () => ({ status: "ready" as const })
  expect((await drain.health(ready)).status).toBe("ready")
  const leave = Promise.withResolvers<"stopping">()
  const drained = drain.run(app, () => leave.promise)
  expect(await drain.health(ready)).toEqual({
    status: "unavailable",
    reasons: ["This process is stopping."],
    isPartial: false,
  })
  leave.resolve("stopping")
  await drained
})

const CONNECTIONS = 50
/** Opens connections with one call on each, and prints how many were answered. */
const OPENER = `
  const one = () => fetch("http://127.0.0.1:" + process.argv[1] + "/quick", { keepalive: false })
    .then((answer) => answer.ok, () => false)
  const all = await Promise.all(Array.from({ length: ${CONNECTIONS} }, one))
  console.log(all.filter(Boolean).length)
`

/** How many calls were answered that waited to be accepted when the port was closed. */
async function answeredAfter(close: (port: number) => Promise<void> | void): Promise<number> {
  const { port } = startApp()
  const opener = Bun.spawn([process.execPath, "-e", OPENER, String(port)], { stdout: "pipe" })
  // This process accepts nothing while it sleeps: the connections wait in the kernel.
  Bun.sleepSync(1_000)
  await close(port)
  return Number(await opener.stdout.text())
}

test("closing the port answers what waits to be accepted; closing it at once resets it", async () => {
  const close = (port: number) => findListener(port)?.close({ handshakeMs: 1 })
  expect(await answeredAfter(close)).toBe(CONNECTIONS)
  // The kernel's default; with tcp_migrate_req another listener would get them, but there is none.
  expect(await answeredAfter((port) => findListener(port)?.closeNow())).toBe(0)
  expect(typeof isMigrating()).toBe("boolean")
})
