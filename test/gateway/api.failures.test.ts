import { expect, test } from "bun:test"
import { createServer } from "node:net"
import { holdsKey } from "../../src/ledger/keys.ts"
import { connected, connectRedis } from "../../src/ledger/redis.ts"
import { eventually } from "../support/eventually.ts"
import type { UpstreamCall } from "../support/upstream.ts"
import { problemOf, useApi } from "./api.ts"

const { system, upstream, offer, developer, call, balanceOf } = useApi()

const untouched = { balanceFen: 100, heldFen: 0, seq: 1 }

test("502: an upstream that is away, resets, or speaks no HTTP costs nothing", async () => {
  await offer("/broken/{how}", { chargeOn: "always" })
  upstream().on("/broken/reset", ({ socket }) => void socket.resetAndDestroy())
  upstream().on("/broken/close", ({ socket }) => void socket.end())
  upstream().on("/broken/half", ({ write, socket }) => {
    write("HTTP/1.1 200 OK\r\nContent-Le")
    socket.end()
  })
  upstream().on("/broken/garbage", ({ write }) => write("SSH-2.0-OpenSSH_9.2\r\n\r\n"))
  upstream().on("/broken/switch", ({ write }) =>
    write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
  )
  const caller = await developer()
  for (const how of ["reset", "close", "half", "garbage", "switch"]) {
    const answer = await call(caller, `/broken/${how}`, { method: "POST", body: "x" })
    const { code, retryable } = await problemOf(answer)
    expect([how, answer.status, code, retryable]).toEqual([how, 502, "upstream_failed", true])
  }
  const free = await freePort()
  await offer("/away", { upstreamUrl: `http://127.0.0.1:${free}` })
  expect((await call(caller, "/away")).status).toBe(502)
  expect(system().log.join()).toContain("the upstream of test.")
  expect(await balanceOf(caller)).toEqual(untouched)
})

test("502: an interface without an upstream says so, and costs nothing", async () => {
  const id = await offer("/nowhere", { upstreamUrl: null })
  const caller = await developer()
  const { code, detail } = await problemOf(await call(caller, "/nowhere"))
  expect([code, detail]).toEqual([
    "upstream_failed",
    expect.stringContaining(`"${id}" has no upstream`),
  ])
  expect((await call(caller, "/user/login", { method: "POST", body: "{}" })).status).toBe(502)
  expect(await balanceOf(caller)).toEqual(untouched)
})

test("504: an upstream that does not answer in time is told to stop, and costs nothing", async () => {
  await offer("/slow", { timeoutMs: 200, chargeOn: "always" })
  const gone = Promise.withResolvers<void>()
  upstream().on("/slow", async ({ closed, write }) => {
    write("HTTP/1.1 200 OK\r\n")
    await closed
    gone.resolve()
  })
  const caller = await developer()
  const answer = await call(caller, "/slow")
  const { code, detail } = await problemOf(answer)
  expect([answer.status, code]).toEqual([504, "upstream_timeout"])
  expect(detail).toContain("200 ms")
  await gone.promise
  expect(await balanceOf(caller)).toEqual(untouched)
})

test("what a call holds outlasts the time that its upstream has, so that no sweep takes it away", async () => {
  const timeoutMs = 60_000
  await offer("/held", { timeoutMs })
  const redis = connectRedis(system().stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  const ends: number[] = []
  upstream().on("/held", async ({ reply }) => {
    const [, score] = await redis.zrange(holdsKey(0, 1), "0", "-1", "WITHSCORES")
    ends.push(Number(score) - Date.now())
    reply()
  })
  const caller = await developer()
  expect((await call(caller, "/held")).status).toBe(200)
  redis.disconnect()
  expect(ends).toHaveLength(1)
  expect(ends[0]).toBeGreaterThan(timeoutMs)
})

test("the time of an interface ends where the answer begins: the rest may take its own", async () => {
  await offer("/long", { timeoutMs: 100 })
  let finish: () => void = () => undefined
  upstream().on("/long", ({ write }) => {
    write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfrom\r\n")
    finish = () => write("3\r\n to\r\n0\r\n\r\n")
  })
  const caller = await developer()
  const answer = await call(caller, "/long")
  const beginAt = performance.now()
  await eventually(() => performance.now() - beginAt > 300)
  finish()
  expect(await answer.text()).toBe("from to")
})

test("a caller who hangs up before the answer ends the upstream's call, and pays nothing", async () => {
  await offer("/hangup", { chargeOn: "always" })
  const caller = await developer()
  for (const init of [{}, { method: "POST", body: "small" }, { method: "POST", body: endless() }]) {
    const reached = Promise.withResolvers<UpstreamCall>()
    upstream().on("/hangup", reached.resolve)
    const controller = new AbortController()
    const gone = call(caller, "/hangup", { ...init, signal: controller.signal }).catch(() => "gone")
    const { closed } = await reached.promise
    expect(await balanceOf(caller)).toMatchObject({ heldFen: 1 })
    controller.abort()
    expect(await gone).toBe("gone")
    await closed
    await eventually(async () => expect(await balanceOf(caller)).toEqual(untouched))
  }
})

test("a caller who hangs up in the middle of the answer ends it for the upstream too", async () => {
  await offer("/leave")
  const reached = Promise.withResolvers<UpstreamCall>()
  upstream().on("/leave", (forwarded) => {
    forwarded.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    reached.resolve(forwarded)
  })
  const caller = await developer()
  const controller = new AbortController()
  const answer = await call(caller, "/leave", { signal: controller.signal })
  expect(answer.status).toBe(200)
  controller.abort()
  await reached.promise.then(({ closed }) => closed)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 99, heldFen: 0, seq: 2 })
})

test("an answer that the upstream breaks off is not taken for a whole one", async () => {
  await offer("/cut/{how}")
  upstream().on("/cut/chunked", ({ write, socket }) => {
    write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    setTimeout(() => socket.end(), 50)
  })
  upstream().on("/cut/counted", ({ write, socket }) => {
    write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst")
    setTimeout(() => socket.end(), 50)
  })
  const caller = await developer()
  for (const how of ["chunked", "counted"]) {
    const answer = await call(caller, `/cut/${how}`)
    expect(answer.status).toBe(200)
    expect(await answer.text().catch(() => "broken")).toBe("broken")
  }
})

test("413: a body over the interface's bound is refused, announced or not, and costs nothing", async () => {
  await offer("/bounded", { bodyBytesMax: 100_000, chargeOn: "always" })
  const caller = await developer()
  const fits = await call(caller, "/bounded", { method: "POST", body: "x".repeat(100_000) })
  expect(fits.status).toBe(200)
  const before = upstream().calls.length
  const announced = await call(caller, "/bounded", { method: "POST", body: "x".repeat(100_001) })
  expect([announced.status, (await problemOf(announced)).code]).toEqual([413, "body_too_large"])
  expect(upstream().calls.length).toBe(before)

  const reached = Promise.withResolvers<UpstreamCall>()
  upstream().on("/bounded", reached.resolve)
  const counted = await call(caller, "/bounded", { method: "POST", body: endless() })
  expect([counted.status, (await problemOf(counted)).code]).toEqual([413, "body_too_large"])
  await reached.promise.then(({ closed }) => closed)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 99, heldFen: 0, seq: 2 })
})

test("calls that cost nothing are counted: refused ones, and those that failed", async () => {
  const id = await offer("/counted", { priceFen: 60, chargeOn: "2xx" })
  upstream().on("/counted", ({ socket, query, reply }) => {
    if (query === "?fail") void socket.resetAndDestroy()
    else reply({ status: query === "?404" ? 404 : 200 })
  })
  const caller = await developer()
  for (const query of ["?fail", "?404", "", ""]) await call(caller, `/counted${query}`)
  await eventually(async () => {
    const rows = await system().sql<{ calls: string; refused: string; failed: string }[]>`
      select calls, refused, failed from reporting.usage_hourly
      where account_id = ${caller.accountId} and interface = ${id}
    `
    expect(rows.map((row) => Object.values(row).map(Number))).toEqual([[1, 1, 2]])
  })
})

test("404: what is not offered is unknown, and to whom no key opens anything all is 401", async () => {
  await offer("/known", { method: "GET" })
  const caller = await developer()
  const before = upstream().calls.length
  for (const [method, path] of [
    ["GET", "/unknown"],
    ["GET", "/known/more"],
    ["POST", "/known"],
    ["DELETE", ""],
  ] as const) {
    const answer = await call(caller, path, { method })
    const { code, detail } = await problemOf(answer)
    expect([method, answer.status, code]).toEqual([method, 404, "unknown_interface"])
    expect(detail).toContain(`${method} /api${path}`)
  }
  for (const path of ["/known", "/unknown", ""]) {
    const nobody = await fetch(`${system().url}/api${path}`)
    expect([path, (await problemOf(nobody)).code]).toEqual([path, "missing_credential"])
    const stranger = await call({ key: "fk_nonsense" }, path)
    expect([path, (await problemOf(stranger)).code]).toEqual([path, "invalid_credential"])
  }
  expect((await call(caller, "/known", { method: "HEAD" })).status).toBe(200)
  expect(upstream().calls.length).toBe(before + 1)
})

/** Bytes without an end, as fast as they are taken. */
function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(10_000)) })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}
