import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { bootstrap } from "../../src/accounts/bootstrap.ts"
import { freePort } from "../../src/embedded/processes.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { startLedger, type TestLedger } from "../support/ledger.ts"
import { type Stores, startStores } from "../support/stores.ts"
import { createRequest, register } from "../support/system.ts"
import { startUpstream, type Upstream, type UpstreamCall } from "../support/upstream.ts"

/** The gateway as a process of its own, started by hand, so that its memory can be watched. */

const MIB = 1_048_576
/** STREAM_MIB=1024 passes a gigabyte each way; less shows as well whether anything piles up. */
const STREAM_BYTES = Number(process.env.STREAM_MIB ?? 160) * MIB
const GROWTH_BYTES_MAX = 64 * MIB
const PIECE = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)))
const ADMIN = { email: "admin@example.com", password: "a password for tests" }
const MAIN = Bun.fileURLToPath(new URL("../../src/main.ts", import.meta.url))

let stores: Stores
let ledger: TestLedger
let upstream: Upstream
let gateway: Bun.Subprocess
let port: number
let caller: Developer

beforeAll(async () => {
  stores = await startStores()
  ledger = await startLedger(stores)
  const { redisUrl, databaseUrl, dataDir } = stores
  await bootstrap({ databaseUrl, admin: ADMIN, embedded: true, loopback: true })
  upstream = await startUpstream()
  port = await freePort()
  gateway = Bun.spawn([process.execPath, MAIN, "gateway"], {
    env: {
      ...process.env,
      ...{ REDIS_URL: redisUrl, DATABASE_URL: databaseUrl, DATA_DIR: dataDir, PORT: String(port) },
      BUN_CONFIG_MAX_HTTP_REQUESTS: undefined,
    },
    stdio: ["ignore", "inherit", "inherit"],
  })
  const request = createRequest(`http://127.0.0.1:${port}`)
  await eventually(async () => expect((await request("GET", "/readyz")).status).toBe(200))
  const token = (await request("POST", "/v1/sessions", { body: ADMIN })).body.accessToken
  const made = await request("POST", "/v1/admin/interfaces", {
    token,
    body: {
      ...{ id: "test.stream", name: "Streams", method: "ANY", path: "/api/*", priceFen: 1 },
      ...{ upstreamUrl: upstream.url, timeoutMs: 600_000, bodyBytesMax: 4_096 * MIB },
    },
  })
  expect(made.status).toBe(201)
  const client = { request, register: () => register(request), adminToken: async () => token }
  caller = await newDeveloper(client, { balanceFen: 1_000 })
}, 30_000)

afterAll(async () => {
  gateway.kill("SIGTERM")
  expect(await gateway.exited).toBe(0)
  await ledger.books()
  await upstream.stop()
  await ledger.stop()
  await stores.stop()
}, 30_000)

/** Calls, and fails the test if the gateway's memory grows over the bound meanwhile. */
async function watchingMemory<Value>(run: () => Promise<Value>): Promise<Value> {
  const before = memoryOf(gateway.pid)
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, memoryOf(gateway.pid))
  }, 10)
  try {
    return await run()
  } finally {
    clearInterval(timer)
    expect(most - before).toBeLessThan(GROWTH_BYTES_MAX)
  }
}

function memoryOf(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return Number(kib) * 1_024
}

/** A connection to the gateway that counts what it has sent and was sent. */
function open() {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true })
  let [head, received] = ["", 0]
  socket.on("data", (bytes) => {
    received += bytes.length
    if (!head.includes("\r\n\r\n")) head += Buffer.from(bytes).toString("latin1")
  })
  return { socket, head: () => head, received: () => received }
}

function headOf(method: string, path: string, ...lines: string[]): string {
  const own = [`Host: 127.0.0.1:${port}`, `Authorization: Bearer ${caller.key}`, ...lines]
  return `${method} /api${path} HTTP/1.1\r\n${own.join("\r\n")}\r\n\r\n`
}

/** Writes pieces until so many bytes are written, no faster than they are taken. */
function pour(socket: Socket, bytes: number, frame: (piece: Buffer) => Buffer) {
  let poured = 0
  const more = (): void => {
    while (poured < bytes) {
      poured += PIECE.length
      if (!socket.write(frame(PIECE))) return
    }
  }
  socket.on("drain", more)
  more()
  return { poured: () => poured }
}

const asItIs = (piece: Buffer): Buffer => piece
const asChunk = (piece: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])

/** Of so many bytes that were poured. */
function checksumOf(bytes: number): number {
  let checksum = 0
  for (let at = 0; at < bytes; at += PIECE.length) checksum = Bun.hash.crc32(PIECE, checksum)
  return checksum
}

/** What has come to a stand: the same twice, a good while apart. */
async function standsStill(look: () => number): Promise<number> {
  let [last, lastAt] = [look(), performance.now()]
  await eventually(() => {
    const now = look()
    if (now !== last) [last, lastAt] = [now, performance.now()]
    return now > 0 && performance.now() - lastAt > 300
  })
  return last
}

for (const [name, lines, frame] of [
  ["of a known length", [`Content-Length: ${STREAM_BYTES}`], asItIs],
  ["in chunks", ["Transfer-Encoding: chunked"], asChunk],
] as const) {
  test(`a large body ${name} waits for an upstream that does not read it, and piles up nowhere`, async () => {
    const reached = Promise.withResolvers<UpstreamCall>()
    upstream.on("/upload", (forwarded) => {
      forwarded.socket.pause()
      reached.resolve(forwarded)
    })
    await watchingMemory(async () => {
      const { socket, head } = open()
      socket.write(headOf("POST", "/upload", ...lines))
      const { poured } = pour(socket, STREAM_BYTES, frame)
      const forwarded = await reached.promise
      expect(await standsStill(poured)).toBeLessThan(GROWTH_BYTES_MAX)
      forwarded.socket.resume()
      await eventually(() => poured() >= STREAM_BYTES, { timeoutMs: 120_000 })
      if (frame === asChunk) socket.write("0\r\n\r\n")
      await forwarded.body
      expect(forwarded.bytes()).toBe(STREAM_BYTES)
      expect(forwarded.checksum()).toBe(checksumOf(STREAM_BYTES))
      forwarded.reply()
      await eventually(() => head().startsWith("HTTP/1.1 200"))
      expect(head()).toMatch(/x-charge-fen: 1/i)
      socket.destroy()
    })
  }, 180_000)
}

test("a large answer waits for a caller who does not read it, and piles up nowhere", async () => {
  let poured = (): number => 0
  upstream.on("/download", ({ write, socket }) => {
    write(`HTTP/1.1 200 OK\r\nContent-Length: ${STREAM_BYTES}\r\n\r\n`)
    poured = pour(socket, STREAM_BYTES, asItIs).poured
  })
  await watchingMemory(async () => {
    const { socket, head, received } = open()
    socket.write(headOf("GET", "/download"))
    await eventually(() => head().startsWith("HTTP/1.1 200"))
    socket.pause()
    expect(await standsStill(() => poured())).toBeLessThan(GROWTH_BYTES_MAX)
    socket.resume()
    await eventually(() => received() >= STREAM_BYTES, { timeoutMs: 120_000 })
    expect(head()).toMatch(/x-charge-fen: 1/i)
    socket.destroy()
  })
}, 180_000)

test("400 calls wait for their upstream at the same time, and all are answered", async () => {
  const before = (await caller.balance()).body.balanceFen
  const waiting: UpstreamCall[] = []
  upstream.on("/many", (forwarded) => void waiting.push(forwarded))
  const begin = () => {
    const each = open()
    each.socket.write(headOf("GET", "/many"))
    return each
  }
  let calls = Array.from({ length: 400 }, begin)
  await eventually(() => {
    // A machine that stalls lets a batch of holds fail: nobody was forwarded then, and comes again.
    calls = calls.map((each) => (each.head().startsWith("HTTP/1.1 503") ? begin() : each))
    return waiting.length === 400
  })
  for (const each of waiting) each.reply()
  await eventually(() => calls.every(({ head }) => head().startsWith("HTTP/1.1 200")))
  for (const { socket } of calls) socket.destroy()
  expect((await caller.balance()).body).toMatchObject({ balanceFen: before - 400, heldFen: 0 })
}, 60_000)
