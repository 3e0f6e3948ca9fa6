import { describe, expect, test } from "bun:test"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { type Answer, useSystem } from "../support/system.ts"
import {
  expectRefused,
  keyWith,
  limitedDeveloper,
  newIdempotencyKey,
  newServiceKey,
} from "./calls.ts"

/** `ANY /v1/authorize`: a reverse proxy asks before it passes a call on. */

const system = useSystem()

type Asked = { method?: string; path?: string; headers?: Record<string, string> }

const ORIGINAL = { "x-original-method": "POST", "x-original-uri": "/api/user/login?a=1" }

function ask(
  { key }: { key: string },
  { method = "GET", path = "/v1/authorize", headers = ORIGINAL }: Asked = {},
): Promise<Answer> {
  return system().request(method, path, { token: key, headers })
}

/** The operations of the price list. */
async function pathOf(id: string): Promise<{ method: string; path: string }> {
  const { items } = (await system().request("GET", "/v1/interfaces")).body
  return items.find((item: { id: string }) => item.id === id)
}

describe("200", () => {
  test("charges the original call, says whose it is, and has no body", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    expect(await pathOf("user.login")).toMatchObject({ method: "POST", path: "/api/user/login" })

    const { status, body, headers } = await ask(developer)

    expect([status, body]).toEqual([200, ""])
    expect(headers.get("x-account-id")).toBe(developer.accountId)
    expect(headers.get("x-key-id")).toBe(developer.keyId)
    expect(headers.get("x-charge-fen")).toBe("1")
    expect(headers.get("x-available-fen")).toBe("99")
    expect(headers.get("x-request-id")).not.toBeNull()
    const chargeId = headers.get("x-charge-id")
    await eventually(async () => {
      const { items } = (await developer.get("/v1/changes?type=2")).body
      expect(items[0]).toMatchObject({ chargeId, interface: "user.login", keyId: developer.keyId })
    })
  })

  test("is asked by any method, and told the call in any of the ways that proxies know", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const uri = "/api/user/login?b=2"
    const forwarded = { "x-forwarded-method": "POST", "x-forwarded-uri": uri }
    const ways: Asked[] = [
      ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map((method) => ({ method })),
      { headers: forwarded },
      { headers: { ...forwarded, "x-original-method": "POST", "x-original-uri": uri } },
      { method: "POST", path: `/v1/authorize${uri}`, headers: {} },
    ]
    for (const way of ways) expect([way, (await ask(developer, way)).status]).toEqual([way, 200])
    expect((await developer.balance()).body.balanceFen).toBe(100 - ways.length)
  })
})

describe("with an Idempotency-Key", () => {
  test("a repeat of a paid call is 409 already_charged, and names the charge", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const headers = { ...ORIGINAL, "idempotency-key": newIdempotencyKey() }
    const first = await ask(developer, { headers })
    expect(first.status).toBe(200)

    const { body, headers: told } = await expectRefused(
      ...([ask(developer, { headers }), 409, "already_charged"] as const),
    )

    const chargeId = first.headers.get("x-charge-id")
    expect([body.chargeId, told.get("x-charge-id")]).toEqual([chargeId, chargeId])
    expect(body.amountFen).toBe(1)
    expect((await developer.balance()).body.balanceFen).toBe(99)
  })

  test("another call with the same key is another; the same with another query is refused", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const key = { "idempotency-key": newIdempotencyKey() }
    const { method, path } = await pathOf("vip.get")
    const vip = { "x-original-method": method, "x-original-uri": path }
    expect((await ask(developer, { headers: { ...ORIGINAL, ...key } })).status).toBe(200)
    expect((await ask(developer, { headers: { ...vip, ...key } })).status).toBe(200)
    const other = { ...ORIGINAL, "x-original-uri": "/api/user/login?a=2", ...key }
    await expectRefused(ask(developer, { headers: other }), 422, "idempotency_key_reused")
  })
})

describe("refused", () => {
  test("401, 402, 403, 404 and 429, each as a charge is", async () => {
    const { request } = system()
    const poor = await newDeveloper(system())
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    await expectRefused(
      request("GET", "/v1/authorize", { headers: ORIGINAL }),
      401,
      "missing_credential",
    )
    await expectRefused(ask({ key: "fk_1" }), 401, "invalid_credential")
    await expectRefused(ask(poor), 402, "insufficient_balance")
    const listed = await keyWith(system(), developer, { interfaces: ["vip.get"] })
    await expectRefused(ask(listed), 403, "interface_not_allowed")
    const elsewhere = await keyWith(system(), developer, { allowedCidrs: ["192.0.2.1"] })
    await expectRefused(ask(elsewhere), 403, "ip_not_allowed")
    for (const uri of ["/api/no/such", "/", "/api/user/%2e%2e/login", "/v1/charges"]) {
      const headers = { ...ORIGINAL, "x-original-uri": uri }
      await expectRefused(ask(developer, { headers }), 404, "unknown_interface")
    }
    const fast = await keyWith(system(), developer, { ratePerSecond: 1 })
    const answers = await Promise.all([1, 2, 3].map(() => ask(fast)))
    expect(answers.map(({ status }) => status)).toContain(429)
  })

  test("403 for a service key: it says why", async () => {
    const service = await newServiceKey(system())
    const { body } = await expectRefused(ask(service), 403, "not_allowed")
    expect(body.detail).toContain("service key")
  })

  test.each([
    ["no call at all", {}],
    ["a method alone", { "x-original-method": "GET" }],
    ["an address alone", { "x-forwarded-uri": "/api/user/login" }],
    ["an address that is no path", { ...ORIGINAL, "x-original-uri": "http://a/api/user/login" }],
    ["two calls that differ", { ...ORIGINAL, "x-forwarded-uri": "/api/vip" }],
    ["two methods that differ", { ...ORIGINAL, "x-forwarded-method": "GET" }],
  ])("422: %s", async (_name, headers: Record<string, string>) => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const { body } = await expectRefused(ask(developer, { headers }), 422, "validation_failed")
    expect(body.errors[0].path).toMatch(/^\/X-(Original|Forwarded)-(URI|Uri)$/)
    expect((await developer.balance()).body.balanceFen).toBe(100)
  })
})

describe("with ?deny=403, for nginx", () => {
  const path = "/v1/authorize?deny=403"

  test("what auth_request cannot pass on is 403 with the code, and 401 and 403 stay", async () => {
    const poor = await newDeveloper(system())
    const developer = await limitedDeveloper(system(), { ratePerSecond: 1, balanceFen: 50 })
    const listed = await keyWith(system(), developer, { interfaces: ["vip.get"] })
    const wrong = { ...ORIGINAL, "x-original-uri": "/api/no/such" }
    const paid = { ...ORIGINAL, "idempotency-key": newIdempotencyKey() }
    expect((await ask(developer, { path, headers: paid })).status).toBe(200)
    const asked: [Promise<Answer>, number, string][] = [
      [ask({ key: "fk_1" }, { path }), 401, "invalid_credential"],
      [ask(poor, { path }), 403, "insufficient_balance"],
      [ask(listed, { path }), 403, "interface_not_allowed"],
      [ask(developer, { path, headers: wrong }), 403, "unknown_interface"],
      [ask(developer, { path, headers: {} }), 403, "validation_failed"],
      [ask(developer, { path, headers: paid }), 403, "already_charged"],
    ]
    for (const [answer, status, code] of asked) {
      const { body, headers } = await expectRefused(answer, status, code)
      expect([code, body.status, headers.get("x-billing-code")]).toEqual([code, status, code])
    }
  })

  test("too many calls are 403 that say when to come again", async () => {
    const { limitedKey: key } = await limitedDeveloper(system(), { ratePerSecond: 1 })
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask({ key }, { path })))
    const limited = answers.find(({ body }) => body.code === "rate_limited")
    expect(limited?.status).toBe(403)
    expect(limited?.headers.get("retry-after")).toBe("1")
    expect(limited?.headers.get("ratelimit")).toBe('"key";r=0;t=1')
  })

  test("another value of deny is refused", async () => {
    const developer = await newDeveloper(system())
    const answer = ask(developer, { path: "/v1/authorize?deny=1" })
    await expectRefused(answer, 422, "validation_failed")
  })
})
