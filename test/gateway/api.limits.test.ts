import { expect, test } from "bun:test"
import { createReached } from "../../src/http/address.ts"
import { problemOf, useApi } from "./api.ts"
import { limitedDeveloper, newServiceKey } from "./calls.ts"

const { system, upstream, offer, call, developer } = useApi()

test("429 and RateLimit: a key's calls per second are told with every answer of /api", async () => {
  await offer("/rated")
  upstream().on("/rated", ({ query, reply, socket }) => {
    if (query === "?broken") void socket.resetAndDestroy()
    else reply({ headers: ["RateLimit: the upstream's", "RateLimit-Policy: its own"] })
  })
  const { limitedKey: key } = await limitedDeveloper(system(), { ratePerSecond: 3 })
  const answers = [await call({ key }, "/rated"), await call({ key }, "/rated?broken")]
  answers.push(...(await Promise.all(Array.from({ length: 10 }, () => call({ key }, "/rated")))))
  for (const answer of answers) {
    expect(answer.headers.get("ratelimit-policy")).toBe('"key";q=3;w=1')
    expect(answer.headers.get("ratelimit")).toMatch(/^"key";r=\d;t=\d$/)
  }
  expect(answers[1]?.status).toBe(502)
  const refused = answers.find(({ status }) => status === 429)
  if (refused === undefined) throw new Error("none was refused")
  expect((await problemOf(refused)).code).toBe("rate_limited")
  expect(refused.headers.get("retry-after")).toBe("1")
})

test("402: a budget holds for calls of /api, and what a failed one held of it is given back", async () => {
  await offer("/budget", { priceFen: 4 })
  upstream().on("/budget", ({ query, reply }) => reply({ status: query === "" ? 200 : 404 }))
  const { limitedKey: key } = await limitedDeveloper(system(), { dailyFen: 8 })
  const statuses = []
  for (const path of ["/budget?no", "/budget", "/budget?no", "/budget", "/budget"]) {
    const answer = await call({ key }, path)
    statuses.push(answer.status)
    if (answer.status === 402) {
      expect(await problemOf(answer)).toMatchObject({
        code: "key_budget_reached",
        limitSource: "daily",
      })
    }
  }
  expect(statuses).toEqual([404, 200, 404, 200, 402])
})

test("403: a key may call what its limits name, from where they say; a service key calls nothing", async () => {
  const mine = await offer("/mine")
  await offer("/others")
  const before = upstream().calls.length
  const { limitedKey } = await limitedDeveloper(system(), { interfaces: [mine] })
  expect((await call({ key: limitedKey }, "/mine")).status).toBe(200)
  const other = await call({ key: limitedKey }, "/others")
  expect([other.status, (await problemOf(other)).code]).toEqual([403, "interface_not_allowed"])
  const far = await limitedDeveloper(system(), { allowedCidrs: ["203.0.113.0/24"] })
  const near = await call({ key: far.limitedKey }, "/mine")
  expect([near.status, (await problemOf(near)).code]).toEqual([403, "ip_not_allowed"])
  const service = await call(await newServiceKey(system()), "/mine")
  expect([service.status, (await problemOf(service)).code]).toEqual([403, "not_allowed"])
  expect(upstream().calls.length).toBe(before + 1)
})

test("401: a key that was disabled a moment ago opens nothing", async () => {
  await offer("/revoked")
  const caller = await developer()
  expect((await call(caller, "/revoked")).status).toBe(200)
  const patch = { token: caller.token, body: { enabled: false } }
  await system().request("PATCH", `/v1/keys/${caller.keyId}`, patch)
  const before = upstream().calls.length
  const answer = await call(caller, "/revoked")
  expect([answer.status, (await problemOf(answer)).code]).toEqual([401, "key_disabled"])
  expect(upstream().calls.length).toBe(before)
})

test("how a caller reached us is believed of trusted proxies alone", () => {
  const request = new Request("http://inner.example/api/x", {
    headers: {
      ...{ host: "inner.example", "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https" },
      "x-forwarded-host": "outer.example",
    },
  })
  const from = (address: string) => ({ requestIP: () => ({ address }) })
  const trusting = createReached(["10.0.0.1"])
  expect(trusting(request, from("::ffff:10.0.0.1"))).toEqual({
    ...{ address: "203.0.113.9", protocol: "https", host: "outer.example" },
  })
  const plain = { protocol: "http", host: "inner.example" }
  expect(trusting(request, from("10.0.0.2"))).toEqual({ address: "10.0.0.2", ...plain })
  expect(createReached([])(request, from("10.0.0.1"))).toEqual({ address: "10.0.0.1", ...plain })
})
