import { expect, test } from "bun:test"
import type { UpstreamCall } from "../support/upstream.ts"
import { problemOf, useApi } from "./api.ts"

const { upstream, offer, developer, call, balanceOf } = useApi()

type Init = { method?: string; body?: string; headers?: Record<string, string> }

const keyed = (key: string, more: Init = {}): RequestInit => ({
  method: "POST",
  body: "one",
  ...more,
  headers: { "idempotency-key": key, ...more.headers },
})

test("409 already_charged: a repeat of a paid call is neither charged nor forwarded", async () => {
  await offer("/once", { priceFen: 4 })
  const caller = await developer()
  const first = await call(caller, "/once?a", keyed("k-1"))
  expect([first.status, await first.text()]).toEqual([200, "ok"])
  const before = upstream().calls.length
  for (const repeat of [1, 2]) {
    const again = await call(caller, "/once?a", keyed("k-1"))
    const { code, chargeId, retryable } = await problemOf(again)
    expect([repeat, again.status, code]).toEqual([repeat, 409, "already_charged"])
    expect(chargeId).toBe(first.headers.get("x-charge-id"))
    expect(retryable).toBe(false)
  }
  expect(upstream().calls.length).toBe(before)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 96, heldFen: 0, seq: 2 })
  const other = await call(caller, "/once?a", keyed("k-2"))
  expect(other.status).toBe(200)
})

test("409 request_in_progress: while the first runs, and its key is paid for afterwards", async () => {
  await offer("/running")
  const reached = Promise.withResolvers<UpstreamCall>()
  upstream().on("/running", reached.resolve)
  const caller = await developer()
  const first = call(caller, "/running", keyed("k-1"))
  const running = await reached.promise
  const meanwhile = await call(caller, "/running", keyed("k-1"))
  expect([meanwhile.status, (await problemOf(meanwhile)).code]).toEqual([
    409,
    "request_in_progress",
  ])
  running.reply()
  expect((await first).status).toBe(200)
  expect((await call(caller, "/running", keyed("k-1"))).status).toBe(409)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 99, heldFen: 0, seq: 2 })
})

test("a call that cost nothing does not burn its key", async () => {
  await offer("/failing", { timeoutMs: 100 })
  const caller = await developer()
  const answers: [(call: UpstreamCall) => unknown, number][] = [
    [({ reply }) => reply({ status: 404 }), 404],
    [({ socket }) => socket.resetAndDestroy(), 502],
    [() => undefined, 504],
    [({ reply }) => reply({ headers: ["X-Cost-Fen: 0"] }), 200],
    [({ reply }) => reply(), 200],
    [({ reply }) => reply(), 409],
  ]
  for (const [answer, status] of answers) {
    upstream().on("/failing", (forwarded) => void answer(forwarded))
    expect((await call(caller, "/failing", keyed("k-1"))).status).toBe(status)
  }
  const poor = await developer(0)
  upstream().on("/failing", ({ reply }) => reply())
  expect((await call(poor, "/failing", keyed("k-1"))).status).toBe(402)
  await poor.credit(1)
  expect((await call(poor, "/failing", keyed("k-1"))).status).toBe(200)
})

test("422: the same key with another query, type or length is another request", async () => {
  await offer("/which")
  await offer("/which/{other}")
  const caller = await developer()
  const text = { headers: { "content-type": "text/plain" } }
  expect((await call(caller, "/which?a", keyed("k-1", text))).status).toBe(200)
  for (const [path, init] of [
    ["/which?b", text],
    ["/which", text],
    ["/which?a", { headers: { "content-type": "text/html" } }],
    ["/which?a", { ...text, body: "longer" }],
  ] as const) {
    const answer = await call(caller, path, keyed("k-1", init))
    expect([path, answer.status, (await problemOf(answer)).code]).toEqual([
      path,
      422,
      "idempotency_key_reused",
    ])
  }
  // Within account, method and path: another of them is another key.
  expect((await call(caller, "/which?a", keyed("k-1", { ...text, method: "PUT" }))).status).toBe(
    200,
  )
  expect((await call(caller, "/which/x?a", keyed("k-1", text))).status).toBe(200)
  expect((await call(await developer(), "/which?a", keyed("k-1", text))).status).toBe(200)
})

test("a hundred at once with one key: one is forwarded and paid", async () => {
  await offer("/race")
  const before = upstream().calls.length
  const caller = await developer()
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => call(caller, "/race", keyed("k-1"))),
  )
  const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b)
  expect(statuses).toEqual([200, ...Array<number>(99).fill(409)])
  expect(upstream().calls.length).toBe(before + 1)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 99, heldFen: 0, seq: 2 })
})

test("422: a key that no header may carry is refused before anything happens", async () => {
  await offer("/odd-key")
  const caller = await developer()
  const before = upstream().calls.length
  for (const key of ["", "k".repeat(300), "with space"]) {
    const answer = await call(caller, "/odd-key", keyed(key))
    expect([key, answer.status, (await problemOf(answer)).code]).toEqual([
      key,
      422,
      "validation_failed",
    ])
  }
  expect(upstream().calls.length).toBe(before)
})
