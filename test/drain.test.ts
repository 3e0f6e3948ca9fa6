import { afterEach, expect, test } from "bun:test"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import http from "node:http"
import net from "node:net"
import { connectSql } from "../db/connection.ts"
import { commandOf, freePort } from "../src/embedded/processes.ts"
import { oneNode } from "../src/ledger/cluster.ts"
import { connected, connectRedis } from "../src/ledger/redis.ts"
import { auditBooks } from "../src/reconcile/audit.ts"
import { createPlaces } from "./embedded/places.ts"
import { type Callers, call, startCallers } from "./support/callers.ts"
import { type Developer, newDeveloper } from "./support/developer.ts"
import { eventually } from "./support/eventually.ts"
import { type Installation, startInstallation } from "./support/installation.ts"
import { runProgram } from "./support/program.ts"

const places = createPlaces()
afterEach(places.clear)

const BALANCE_FEN = 1_000_000
const BODY = { interface: "user.login" }

/** Callers that keep their connection and callers that do not, each kind on its own account. */
async function startBoth({ client, port }: Installation) {
  const keeping = await newDeveloper(client, { balanceFen: BALANCE_FEN })
  const opening = await newDeveloper(client, { balanceFen: BALANCE_FEN })
  const start = (developer: Developer, isKeepAlive: boolean) =>
    startCallers({ port, keys: Array(12).fill(developer.key), isKeepAlive, body: BODY })
  return [
    { developer: keeping, callers: start(keeping, true) },
    { developer: opening, callers: start(opening, false) },
  ]
}

async function expectPaidOnce(
  calls: { developer: Developer; callers: Callers }[],
  stores: { databaseUrl: string; redisUrl: string },
): Promise<void> {
  for (const { developer, callers } of calls) {
    const paid = callers.answered(200)
    expect(paid).toBeGreaterThan(100)
    // A stall of the machine is some 503; a gateway that takes calls before it can decide is many.
    expect(callers.answered(503)).toBeLessThan(paid / 10)
    const { body } = await developer.balance()
    expect(body.balanceFen).toBe(BALANCE_FEN - paid)
  }
  await expectBooks(stores)
}

async function expectBooks(stores: { databaseUrl: string; redisUrl: string }): Promise<void> {
  const sql = connectSql(stores.databaseUrl, { max: 1, applicationName: "test" })
  const redis = connectRedis(stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  expect((await auditBooks({ sql, redis: oneNode(redis) })).findings).toEqual([])
  redis.disconnect()
  await sql.end()
}

test("gateways told to stop one after another under load fail no call, and charge each once", async () => {
  const installation = await startInstallation(places, { gateways: 2 })
  const both = await startBoth(installation)
  for (let round = 0; round < 4; round++) {
    const [oldest = 0] = installation.gateways()
    const before = both.map(({ callers }) => callers.answered(200))
    process.kill(oldest, "SIGTERM")
    await eventually(() => commandOf(oldest) === null, { timeoutMs: 30_000 })
    expect(installation.gateways()).toHaveLength(2)
    await eventually(() => both.every(({ callers }, i) => callers.answered(200) > (before[i] ?? 0)))
  }
  await Promise.all(both.map(({ callers }) => callers.stop()))
  expect(both.map(({ callers }) => callers.failures())).toEqual([{}, {}])
  await expectPaidOnce(both, installation.stores())
  const { code, output } = await installation.stop()
  expect(code).toBe(0)
  expect(output.match(/was told to stop: starting another in its place/g)).toHaveLength(4)
}, 120_000)

test("a connection is accepted before anything is sent on it: no port that closes resets it", async () => {
  const { port } = await startInstallation(places, { gateways: 1 })
  const socket = net.connect(port, "127.0.0.1")
  await once(socket, "connect")
  const ends = [port, socket.localPort ?? 0].map(
    (each) => `0100007F:${each.toString(16).toUpperCase()}`,
  )
  const [, after = ""] = readFileSync("/proc/net/tcp", "utf8").split(`${ends.join(" ")} `)
  // 01: established; 03, SYN_RECV: the kernel keeps it until something is sent.
  expect(after.slice(0, 2)).toBe("01")
  socket.destroy()
})

test("the only gateway is replaced without a failed call as well", async () => {
  const installation = await startInstallation(places, { gateways: 1 })
  const both = await startBoth(installation)
  const [old = 0] = installation.gateways()
  process.kill(old, "SIGTERM")
  await eventually(() => commandOf(old) === null, { timeoutMs: 30_000 })
  await Promise.all(both.map(({ callers }) => callers.stop()))
  expect(both.map(({ callers }) => callers.failures())).toEqual([{}, {}])
  expect(installation.gateways()).toHaveLength(1)
  await expectPaidOnce(both, installation.stores())
  expect((await installation.stop()).code).toBe(0)
}, 120_000)

test("a forwarded call in flight outlives the replacement of its gateway, and is charged once", async () => {
  const installation = await startInstallation(places, { gateways: 1 })
  const { client, port, gateways, stores } = installation
  const arrived = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch() {
      arrived.resolve()
      await gate.promise
      return new Response("fair")
    },
  })
  const made = await client.request("POST", "/v1/admin/interfaces", {
    token: await client.adminToken(),
    body: {
      ...{ id: "weather", name: "Weather", method: "GET", path: "/api/weather", priceFen: 3 },
      upstreamUrl: `http://127.0.0.1:${upstream.port}`,
    },
  })
  expect(made.status).toBe(201)
  const developer = await newDeveloper(client, { balanceFen: 10 })
  const agent = new http.Agent()
  const inFlight = call({ port, path: "/api/weather", agent, key: developer.key })
  await arrived.promise

  const [old = 0] = gateways()
  process.kill(old, "SIGTERM")
  await eventually(() => installation.program.output().includes("was told to stop"))
  await eventually(
    async () => gateways().length === 2 && (await client.request("GET", "/readyz")).status === 200,
  )
  gate.resolve()
  const { status, body, headers } = await inFlight
  expect([status, body, headers["x-charge-fen"]]).toEqual([200, "fair", "3"])
  await eventually(() => commandOf(old) === null)
  expect((await developer.balance()).body).toMatchObject({ balanceFen: 7, heldFen: 0 })
  await expectBooks(stores())
  expect((await installation.stop()).code).toBe(0)
  await upstream.stop(true)
}, 60_000)

test("an orderly stop of everything under load answers every call that was taken", async () => {
  const installation = await startInstallation(places, { gateways: 2 })
  const both = await startBoth(installation)
  await eventually(() => both.every(({ callers }) => callers.answered(200) > 500))
  expect((await installation.stop()).code).toBe(0)
  await Promise.all(both.map(({ callers }) => callers.stop()))
  for (const { callers } of both) expect(Object.keys(callers.failures())).toEqual(["ECONNREFUSED"])

  const again = runProgram(places, installation.env)
  await again.isUp()
  await expectPaidOnce(both, installation.stores())
  again.child.kill("SIGTERM")
  expect((await again.ended()).code).toBe(0)
}, 120_000)

test("a gateway started by hand says 503 at /readyz while calls succeed, then closes connections", async () => {
  const { client, stores, stop } = await startInstallation(places, { gateways: 1 })
  const developer = await newDeveloper(client, { balanceFen: 1_000 })
  const port = await freePort()
  const { redisUrl, databaseUrl } = stores()
  const env = { PORT: String(port), REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }
  const hand = runProgram(places, { ...env, STOP_NOTICE_SECONDS: "1" }, ["gateway"])
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const charge = { port, path: "/v1/charges", key: developer.key, body: BODY, agent }
  const readyz = async () => (await call({ port, path: "/readyz", agent })).status
  await eventually(async () => (await readyz()) === 200)
  await eventually(async () => (await call(charge)).status === 200)

  // Bun sends more than 256 calls at a time to upstreams only if it is told so before it starts.
  const environment = readFileSync(`/proc/${hand.child.pid}/environ`, "utf8")
  expect(environment).toContain("BUN_CONFIG_MAX_HTTP_REQUESTS=65336")

  hand.child.kill("SIGTERM")
  await eventually(async () => (await readyz()) === 503)
  const during = await call(charge)
  expect(during.status).toBe(200)
  expect(during.headers.connection).not.toBe("close")
  const last = await eventually(async () => {
    const answer = await call(charge)
    expect(answer.status).toBe(200)
    return answer.headers.connection === "close"
  })
  expect(last).toBeTrue()
  expect(await call(charge).catch((error) => error.code)).toBe("ECONNREFUSED")
  expect((await hand.ended()).code).toBe(0)
  expect((await stop()).code).toBe(0)
}, 60_000)
