import { expect, test } from "bun:test"
import { gunzipSync, gzipSync } from "node:zlib"
import { eventually } from "../support/eventually.ts"
import { useApi } from "./api.ts"

const { upstream, offer, developer, call, balanceOf, system } = useApi()

const lastCall = () => {
  const last = upstream().calls.at(-1)
  if (last === undefined) throw new Error("the upstream was not called")
  return last
}

test("200: the call is forwarded, paid when the upstream has answered, and says what it cost", async () => {
  const id = await offer("/hello", { priceFen: 3 })
  const caller = await developer(10)
  const answer = await call(caller, "/hello?a=1&b=%20", {
    method: "POST",
    headers: { "content-type": "text/plain", "x-mine": "yes", "x-request-id": "mine-1" },
    body: "a body",
  })
  expect([answer.status, await answer.text()]).toEqual([200, "ok"])
  const told = Object.fromEntries(answer.headers)
  expect(told).toMatchObject({ "x-charge-fen": "3", "x-available-fen": "7" })
  expect(told["x-request-id"]).toBe("mine-1")
  expect(lastCall()).toMatchObject({ method: "POST", path: "/hello", query: "?a=1&b=%20" })
  expect((await lastCall().body).toString()).toBe("a body")
  expect(await balanceOf(caller)).toEqual({ balanceFen: 7, heldFen: 0, seq: 2 })
  await eventually(async () => {
    const [change] = (await caller.get("/v1/changes?limit=1")).body.items
    expect(change).toMatchObject({
      ...{ kind: "capture", type: 2, amountFen: 3, balanceAfterFen: 7, interface: id, quantity: 1 },
      ...{ keyId: caller.keyId, requestId: "mine-1", chargeId: told["x-charge-id"] },
    })
  })
})

test("200: the path after /api is put behind the upstream's own, whatever the method", async () => {
  await offer("/v1/things/{id}", { upstreamUrl: `${upstream().url}/base/` })
  await offer("", { upstreamUrl: `${upstream().url}/root` })
  const caller = await developer()
  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const answer = await call(caller, "/v1/things/a%20b?x", { method })
    expect([method, answer.status]).toEqual([method, 200])
    expect(lastCall()).toMatchObject({ method, path: "/base/v1/things/a%20b", query: "?x" })
    expect((await lastCall().body).length).toBe(0)
  }
  for (const path of ["", "/", "?q"]) {
    expect((await call(caller, path)).status).toBe(200)
    expect(lastCall().path).toBe("/root")
  }
})

test("200: a process that stops, and has given up its server's own routes, forwards as before", async () => {
  await offer("/leaving")
  // An upstream that answers before it has the body may never get all of it.
  upstream().on("/leaving", async ({ body, reply }) => {
    await body
    reply()
  })
  const caller = await developer(2)
  const headers = { authorization: `Bearer ${caller.key}`, "x-request-id": "last-1" }
  for (const init of [{ headers }, { headers, method: "POST", body: "bye" }]) {
    const request = new Request("http://localhost/api/leaving?x", init)
    const answer = await system().app.handle(request)
    expect([answer.status, await answer.text()]).toEqual([200, "ok"])
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      ...{ "x-charge-fen": "1", "x-request-id": "last-1", "content-length": "2" },
    })
  }
  expect((await lastCall().body).toString()).toBe("bye")
  expect(await balanceOf(caller)).toEqual({ balanceFen: 0, heldFen: 0, seq: 3 })
})

test("200: gzip passes untouched both ways, and is only sent to whom it is said to be understood by", async () => {
  await offer("/gzip")
  const packed = gzipSync("a text ".repeat(1_000))
  upstream().on("/gzip", ({ reply }) =>
    reply({ headers: ["Content-Encoding: gzip"], body: packed }),
  )
  const caller = await developer()
  const headers = { "content-encoding": "gzip", "accept-encoding": "gzip;q=0.5" }
  const answer = await call(caller, "/gzip", { method: "POST", headers, body: packed })
  expect(answer.headers.get("content-encoding")).toBe("gzip")
  const received = Buffer.from(await answer.arrayBuffer())
  expect(received.equals(packed)).toBe(true)
  expect(gunzipSync(received).length).toBe(7_000)
  expect(lastCall().headers).toMatchObject(headers)
  expect((await lastCall().body).equals(packed)).toBe(true)

  await call(caller, "/gzip")
  expect(lastCall().headers["accept-encoding"]).toBe("identity")
})

test("200: cookies that are set stay apart, and a redirect is the caller's to follow", async () => {
  await offer("/cookies")
  const cookies = ["a=1; Path=/; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "b=2, and more", "c="]
  upstream().on("/cookies", ({ reply }) => {
    const headers = cookies.map((each) => `Set-Cookie: ${each}`)
    reply({ status: 302, headers: [...headers, "Location: /elsewhere"] })
  })
  const answer = await call(await developer(), "/cookies")
  expect(answer.status).toBe(302)
  expect(answer.headers.get("location")).toBe("/elsewhere")
  expect(answer.headers.getSetCookie()).toEqual(cookies)
})

test("HEAD, 204, 304 and empty answers have no body, and keep what they say of one", async () => {
  await offer("/bare/{kind}", { chargeOn: "always" })
  upstream().on("/bare/head", ({ write }) =>
    write('HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: "h"\r\n\r\n'),
  )
  upstream().on("/bare/204", ({ reply }) => reply({ status: 204, headers: ["X-It: is"] }))
  upstream().on("/bare/304", ({ reply }) => reply({ status: 304, headers: ['ETag: "x"'] }))
  upstream().on("/bare/empty", ({ reply }) => reply({ body: "" }))
  const caller = await developer(4)
  const head = await call(caller, "/bare/head", { method: "HEAD" })
  expect(Object.fromEntries(head.headers)).toMatchObject({ "content-length": "1234", etag: '"h"' })
  const nothing = await call(caller, "/bare/204")
  expect([nothing.status, nothing.headers.get("x-it")]).toEqual([204, "is"])
  const same = await call(caller, "/bare/304")
  expect([same.status, same.headers.get("etag")]).toEqual([304, '"x"'])
  const empty = await call(caller, "/bare/empty")
  expect([empty.status, empty.headers.get("content-length")]).toEqual([200, "0"])
  for (const answer of [head, nothing, same, empty]) expect(await answer.text()).toBe("")
  expect(await balanceOf(caller)).toEqual({ balanceFen: 0, heldFen: 0, seq: 5 })
})

test("200: server-sent events arrive one by one, each before the next is sent", async () => {
  await offer("/events")
  const sends: (() => void)[] = []
  upstream().on("/events", ({ write }) => {
    write(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    for (const event of ["one", "two", "six"])
      sends.push(() => write(`b\r\ndata: ${event}\n\n\r\n`))
    sends.push(() => write("0\r\n\r\n"))
    sends.shift()?.()
  })
  const caller = await developer(1)
  const answer = await call(caller, "/events")
  expect(answer.headers.get("content-type")).toBe("text/event-stream")
  expect(answer.headers.get("x-charge-fen")).toBe("1")
  expect(await balanceOf(caller)).toEqual({ balanceFen: 0, heldFen: 0, seq: 2 })
  const reader = answer.body?.getReader()
  const events: string[] = []
  for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) {
    events.push(new TextDecoder().decode(read.value))
    sends.shift()?.()
  }
  expect(events).toEqual(["data: one\n\n", "data: two\n\n", "data: six\n\n"])
})

test("200: a body that comes piece by piece is passed on as it comes", async () => {
  await offer("/pieces")
  const first = Promise.withResolvers<void>()
  upstream().on("/pieces", async ({ bytes, body, reply }) => {
    await eventually(() => bytes() > 0)
    first.resolve()
    await body
    reply()
  })
  const caller = await developer(1)
  async function* pieces() {
    yield Buffer.from("first ")
    await first.promise
    yield Buffer.from("second")
  }
  const answer = await call(caller, "/pieces", {
    method: "POST",
    body: streamOf(pieces()),
  })
  expect(answer.status).toBe(200)
  expect(lastCall().headers["transfer-encoding"]).toBe("chunked")
  expect((await lastCall().body).toString()).toBe("first second")
})

test("an interface that is changed is priced anew from the next call on, and one that is made is there", async () => {
  const id = await offer("/priced")
  const caller = await developer(100)
  expect((await call(caller, "/priced")).headers.get("x-charge-fen")).toBe("1")
  const token = await system().adminToken()
  const path = `/v1/admin/interfaces/${id}`
  await system().request("PATCH", path, { token, body: { priceFen: 7 } })
  expect((await call(caller, "/priced")).headers.get("x-charge-fen")).toBe("7")
  await system().request("DELETE", path, { token })
  expect((await call(caller, "/priced")).status).toBe(404)
  await offer("/priced", { priceFen: 2 })
  expect((await call(caller, "/priced")).headers.get("x-charge-fen")).toBe("2")
})

function streamOf(pieces: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await pieces.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
  })
}
