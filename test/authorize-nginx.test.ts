import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { connected, connectRedis } from "../src/ledger/redis.ts"
import { createPlaces } from "./embedded/places.ts"
import { newDeveloper } from "./support/developer.ts"
import { NGINX, startNginx } from "./support/nginx.ts"
import { createRequest, type System, startSystem, useSystem } from "./support/system.ts"

const places = createPlaces()
const system = useSystem({ trustedProxies: ["127.0.0.1"] })

/** The server that is sold: it remembers who called it. */
type Backend = {
  port: number
  seen: { method: string; url: string; headers: Headers; body: string }[]
}

const servers: { stop(isAbrupt: boolean): Promise<void> }[] = []

function startBackend(): Backend {
  const seen: Backend["seen"] = []
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { method, headers } = request
      const { pathname, search } = new URL(request.url)
      seen.push({ method, url: `${pathname}${search}`, headers, body: await request.text() })
      return Response.json({ weather: "fair" }, { status: pathname.endsWith("/none") ? 404 : 200 })
    },
  })
  servers.push(server)
  return { port: server.port ?? 0, seen }
}

let backend = startBackend()
let nginx: Awaited<ReturnType<typeof startNginx>>
let call: System["request"]

/** nginx before a server, in front of both of which stand callers. */
async function startFront(inFront: System): Promise<void> {
  backend = startBackend()
  nginx = await startNginx(places, {
    fengate: Number(new URL(inFront.url).port),
    backend: backend.port,
  })
  backend.seen.length = 0
  call = createRequest(nginx.url)
}

let interfaces = 0

/** Another interface for each test, whose path it answers. */
async function priced(priceFen: number, on: System = system()): Promise<string> {
  const id = `weather.${++interfaces}`
  const path = `/weather-${interfaces}/{city}`
  const body = { id, name: id, method: "ANY", path, priceFen }
  const { status } = await on.request("POST", "/v1/admin/interfaces", {
    token: await on.adminToken(),
    body,
  })
  expect(status).toBe(201)
  return path.replace("{city}", "wuhan")
}

beforeEach(() => (NGINX === null ? undefined : startFront(system())), 30_000)
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true)
  await places.clear()
})

describe.skipIf(NGINX === null)("behind a real nginx with the configuration of the README", () => {
  test("a paid call passes, once charged, with the account and without the key", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 10 })
    const path = await priced(3)
    const forged = {
      "x-account-id": "acct_somebody",
      "x-charge-id": "chg_forged",
      "x-key-id": "key_x",
    }
    const answer = await call("POST", `${path}?units=metric&q=%20`, {
      headers: { ...forged, "x-api-key": developer.key },
      body: { days: 3 },
    })
    expect([answer.status, answer.body]).toEqual([200, { weather: "fair" }])
    expect(answer.headers.get("x-charge-fen")).toBe("3")
    expect(answer.headers.get("x-available-fen")).toBe("7")

    expect(backend.seen).toHaveLength(1)
    const [seen] = backend.seen
    expect([seen?.method, seen?.url, seen?.body]).toEqual([
      "POST",
      `${path}?units=metric&q=%20`,
      JSON.stringify({ days: 3 }),
    ])
    expect(seen?.headers.get("x-account-id")).toBe(developer.accountId)
    expect(seen?.headers.get("x-key-id")).toBe(developer.keyId)
    expect(seen?.headers.get("x-charge-id")).toBe(answer.headers.get("x-charge-id"))
    expect(seen?.headers.has("x-api-key") || seen?.headers.has("authorization")).toBeFalse()
    expect((await developer.balance()).body).toMatchObject({ balanceFen: 7, seq: 2 })
  })

  test("a call stays paid whatever the server answers", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 10 })
    const path = await priced(3)
    const answer = await call("GET", path.replace("wuhan", "none"), { token: developer.key })
    expect([answer.status, answer.headers.get("x-charge-fen")]).toEqual([404, "3"])
    expect((await developer.balance()).body.balanceFen).toBe(7)
  })

  test("402 reaches the caller as 402, with the whole problem", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 2 })
    const path = await priced(3)
    const { status, body, headers } = await call("GET", path, { token: developer.key })
    expect(status).toBe(402)
    expect(headers.get("content-type")).toBe("application/problem+json")
    expect(body).toMatchObject({
      status: 402,
      code: "insufficient_balance",
      detail:
        "Insufficient developer balance, current balance: 0.02 CNY, please recharge and try again!",
      availableFen: 2,
      requiredFen: 3,
      requestId: headers.get("x-request-id"),
    })
    expect(backend.seen).toEqual([])
    expect((await developer.balance()).body.balanceFen).toBe(2)
  })

  test("401 reaches the caller as 401", async () => {
    const path = await priced(1)
    for (const token of [undefined, "fk_nobody"]) {
      const { status, body, headers } = await call(
        "GET",
        path,
        token === undefined ? {} : { token },
      )
      expect(status).toBe(401)
      expect(body.code).toBe(token === undefined ? "missing_credential" : "invalid_credential")
      expect(headers.get("www-authenticate")).toBe("Bearer")
    }
    expect(backend.seen).toEqual([])
  })

  test("a path that is no interface's, or that servers may read in two ways, is 404", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 10 })
    const path = await priced(1)
    for (const other of ["/nowhere", `${path}/../../admin`, `${path}%2f..`, `//${path}`]) {
      // fetch would tidy the path before it sends it.
      const { status, body } = await sendRaw(other, developer.key)
      expect([other, status, body]).toEqual([other, 404, "unknown_interface"])
    }
    expect(backend.seen).toEqual([])
    expect((await developer.balance()).body.balanceFen).toBe(10)
  })

  test("a caller cannot name another call than the one that is made", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 10 })
    const [dear, cheap] = [await priced(5), await priced(1)]
    const forged = {
      "x-original-uri": cheap,
      "x-original-method": "GET",
      "x-forwarded-uri": cheap,
      "x-forwarded-method": "GET",
    }
    const { status, headers } = await call("GET", dear, { token: developer.key, headers: forged })
    expect([status, headers.get("x-charge-fen")]).toEqual([200, "5"])
    expect(backend.seen.map(({ url }) => url)).toEqual([dear])
  })

  test("of many calls at once just those pass that are paid, each once", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const path = await priced(1)
    const calls = Array.from({ length: 200 }, () => call("GET", path, { token: developer.key }))
    const answers = await Promise.all(calls)
    const count = (status: number) => answers.filter((answer) => answer.status === status).length
    expect([count(200), count(402)]).toEqual([100, 100])
    expect(backend.seen).toHaveLength(100)
    const charges = answers
      .map(({ headers }) => headers.get("x-charge-id"))
      .filter((id) => id !== null)
    expect(new Set(charges).size).toBe(100)
    expect((await developer.balance()).body.balanceFen).toBe(0)
  })

  test("a repeat with the same Idempotency-Key is 409 and reaches nobody", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 10 })
    const path = await priced(4)
    const options = { token: developer.key, headers: { "idempotency-key": "order-1" } }
    expect((await call("GET", path, options)).status).toBe(200)
    const { status, body } = await call("GET", path, options)
    expect([status, body.code]).toEqual([409, "already_charged"])
    expect(backend.seen).toHaveLength(1)
    expect((await developer.balance()).body.balanceFen).toBe(6)
  })

  test("a key that calls too often gets 429 and when to try again", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const path = await priced(1)
    const limits = { limits: { ratePerSecond: 1 } }
    const patch = { token: developer.token, body: limits }
    expect((await system().request("PATCH", `/v1/keys/${developer.keyId}`, patch)).status).toBe(200)
    const calls = Array.from({ length: 20 }, () => call("GET", path, { token: developer.key }))
    const refused = (await Promise.all(calls)).filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]?.body.code).toBe("rate_limited")
    expect(refused[0]?.headers.get("retry-after")).toBe("1")
  })

  test("no call passes while billing is fenced, or while Fengate is away", async () => {
    const local = await startSystem()
    await startFront(local)
    const developer = await newDeveloper(local, { balanceFen: 10 })
    const path = await priced(1, local)
    expect((await call("GET", path, { token: developer.key })).status).toBe(200)

    const redis = connectRedis(local.stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
    await connected(redis, 5_000)
    await redis.flushall()
    redis.disconnect()
    const fenced = await call("GET", path, { token: developer.key })
    expect([fenced.status, fenced.body.code]).toEqual([503, "billing_unavailable"])
    expect(fenced.headers.get("retry-after")).toBe("1")
    await local.stop()
    const away = await call("GET", path, { token: developer.key })
    expect([away.status, away.body.code]).toEqual([503, "billing_unavailable"])
    expect(backend.seen).toHaveLength(1)
  }, 60_000)
})

/** A request as it stands, through a socket; its status, and the code of its problem. */
async function sendRaw(path: string, key: string): Promise<{ status: number; body: string }> {
  const { port } = new URL(nginx.url)
  const received = Promise.withResolvers<string>()
  let text = ""
  await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: {
      open: (socket) =>
        void socket.write(`GET ${path} HTTP/1.0\r\nHost: nginx\r\nX-Api-Key: ${key}\r\n\r\n`),
      data(_, bytes) {
        text += bytes.toString()
      },
      close: () => received.resolve(text),
    },
  })
  const [head = "", body = ""] = (await received.promise).split("\r\n\r\n")
  return { status: Number(head.split(" ")[1]), body: JSON.parse(body).code }
}
