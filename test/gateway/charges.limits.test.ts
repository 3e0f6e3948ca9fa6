import { describe, expect, test } from "bun:test"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import {
  expectRefused,
  keyWith,
  limitedDeveloper,
  newIdempotencyKey,
  postKeyed,
  useTwoGateways,
} from "./calls.ts"

/** What the limits of an API key refuse; that they are counted rightly is the script's test. */

const { system, another } = useTwoGateways({ trustedProxies: ["127.0.0.1"] })

const CALL = { interface: "user.login" }

describe("402 key_budget_reached", () => {
  test.each(["daily", "monthly", "total"] as const)(
    "the %s budget stops the key at any gateway, and no other key of the account",
    async (limitSource) => {
      const developer = await limitedDeveloper(system(), { [`${limitSource}Fen`]: 5 })
      const { limitedKey, charge } = developer
      expect((await charge({ quantity: 5 }, limitedKey)).status).toBe(200)

      for (const at of [system(), another()]) {
        const refused = at.request("POST", "/v1/charges", { token: limitedKey, body: CALL })
        const { body } = await expectRefused(refused, 402, "key_budget_reached")
        expect(body).toMatchObject({
          ...{ limitSource, budgetFen: 5, budget: "0.05", requiredFen: 1, retryable: false },
        })
      }

      expect((await charge()).status).toBe(200)
      expect((await developer.balance()).body.balanceFen).toBe(994)
    },
  )

  test("a call above what is left is refused, and a smaller one is paid", async () => {
    const { charge, limitedKey } = await limitedDeveloper(system(), { dailyFen: 5, totalFen: 100 })
    await expectRefused(charge({ quantity: 6 }, limitedKey), 402, "key_budget_reached")
    expect((await charge({ quantity: 5 }, limitedKey)).status).toBe(200)
  })

  test("50 at once on a budget of 7 pay 7", async () => {
    const { charge, limitedKey, balance } = await limitedDeveloper(system(), { totalFen: 7 })
    const answers = await Promise.all(Array.from({ length: 50 }, () => charge({}, limitedKey)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(7)
    expect(answers.filter(({ body }) => body.code === "key_budget_reached")).toHaveLength(43)
    expect((await balance()).body.balanceFen).toBe(993)
  })

  test("a budget that comes later counts what the key has spent before", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    expect((await developer.charge({ quantity: 9 })).status).toBe(200)
    await eventually(async () => {
      expect((await developer.get("/v1/changes?type=2")).body.items).toHaveLength(1)
    })
    const body = { limits: { totalFen: 10 } }
    const { token, keyId } = developer
    expect((await system().request("PATCH", `/v1/keys/${keyId}`, { token, body })).status).toBe(200)

    expect((await developer.charge()).status).toBe(200)
    await expectRefused(developer.charge(), 402, "key_budget_reached")
  })

  test("a repeat with the same Idempotency-Key is answered and counted once", async () => {
    const { limitedKey: token } = await limitedDeveloper(system(), { totalFen: 1 })
    const key = newIdempotencyKey()
    for (let sent = 0; sent < 3; sent++) {
      const answer = await postKeyed(system(), "/v1/charges", { key, token, body: CALL })
      expect(answer.status).toBe(200)
    }
  })
})

describe("429 rate_limited", () => {
  test("says when to come again, and every answer says what is left", async () => {
    const developer = await limitedDeveloper(system(), { ratePerSecond: 3 })
    const { charge, limitedKey } = developer

    const answers = await Promise.all(Array.from({ length: 20 }, () => charge({}, limitedKey)))

    const paid = answers.filter(({ status }) => status === 200)
    const limited = answers.filter(({ status }) => status === 429)
    expect(paid.length).toBeGreaterThanOrEqual(3)
    expect(limited.length).toBeGreaterThan(0)
    expect(paid.length + limited.length).toBe(20)
    for (const { headers } of answers) {
      expect(headers.get("ratelimit-policy")).toBe('"key";q=3;w=1')
      expect(headers.get("ratelimit")).toMatch(/^"key";r=[0-2];t=1$/)
    }
    for (const { body, headers } of limited) {
      expect(body).toMatchObject({ code: "rate_limited", retryable: true })
      expect(headers.get("retry-after")).toBe("1")
      expect(headers.get("ratelimit")).toBe('"key";r=0;t=1')
    }
    await eventually(async () => expect((await charge({}, limitedKey)).status).toBe(200))
  })

  test("refusals of other kinds say it as well, and the balance too", async () => {
    const { request } = system()
    const { limitedKey: token } = await limitedDeveloper(system(), {
      ...{ ratePerSecond: 1_000, balanceFen: 5 },
    })
    const short = { body: { ...CALL, quantity: 1_000 }, token }
    for (const answer of [
      await expectRefused(request("POST", "/v1/charges", short), 402, "insufficient_balance"),
      await expectRefused(
        request("POST", "/v1/charges", { token, body: { interface: "no.such" } }),
        404,
        "unknown_interface",
      ),
      await request("GET", "/v1/balance", { token }),
    ]) {
      expect(answer.headers.get("ratelimit-policy")).toBe('"key";q=1000;w=1')
    }
  })

  test("a key without a rate limit hears nothing of it", async () => {
    const { charge } = await newDeveloper(system(), { balanceFen: 5 })
    const { headers } = await charge()
    expect([headers.has("ratelimit"), headers.has("ratelimit-policy")]).toEqual([false, false])
  })
})

describe("401 key_expired", () => {
  test("from its expiry on, a key charges nothing and reads nothing", async () => {
    const expiresAt = new Date(Date.now() + 1_500).toISOString()
    const developer = await limitedDeveloper(system(), { expiresAt })
    const { charge, limitedKey: token } = developer
    expect((await charge({}, token)).status).toBe(200)

    await eventually(async () => {
      await expectRefused(charge({}, token), 401, "key_expired")
    })

    for (const at of [system(), another()]) {
      await expectRefused(at.request("GET", "/v1/balance", { token }), 401, "key_expired")
      const held = at.request("POST", "/v1/holds", { token, body: CALL })
      await expectRefused(held, 401, "key_expired")
    }
    expect((await charge()).status).toBe(200)
  })

  test("a later expiry opens it again", async () => {
    const developer = await limitedDeveloper(system(), {
      expiresAt: new Date(Date.now() + 500).toISOString(),
    })
    const { charge, limitedKey, limitedKeyId, token } = developer
    await eventually(async () => {
      await expectRefused(charge({}, limitedKey), 401, "key_expired")
    })
    const body = { limits: { expiresAt: null } }
    await system().request("PATCH", `/v1/keys/${limitedKeyId}`, { token, body })

    expect((await charge({}, limitedKey)).status).toBe(200)
  })
})

describe("403", () => {
  test("interface_not_allowed: a key with a list calls what is on it", async () => {
    const interfaces = ["user.login", "vip.get"]
    const developer = await limitedDeveloper(system(), { interfaces })
    const { charge, limitedKey } = developer
    for (const name of interfaces) {
      expect((await charge({ interface: name }, limitedKey)).status).toBe(200)
    }
    const other = charge({ interface: "email.send" }, limitedKey)
    const { body } = await expectRefused(other, 403, "interface_not_allowed")
    expect(body.detail).toContain("email.send")
    await expectRefused(charge({ interface: "no.such" }, limitedKey), 404, "unknown_interface")
    const amount = { token: limitedKey, body: { amountFen: 1 } }
    await expectRefused(system().request("POST", "/v1/holds", amount), 403, "interface_not_allowed")
    expect((await charge({ interface: "email.send" })).status).toBe(200)
  })

  test.each([
    ["203.0.113.0/24", "203.0.113.77", "203.0.114.1"],
    ["203.0.113.9", "203.0.113.9", "203.0.113.8"],
    ["2001:db8:1::/48", "2001:db8:1:2::3", "2001:db8:2::1"],
    ["2001:db8::1", "2001:db8::1", "2001:db8::2"],
    ["203.0.113.0/24", "::ffff:203.0.113.77", "::ffff:203.0.112.77"],
    ["2001:db8::/32", "2001:db8::1", "203.0.113.9"],
  ])("ip_not_allowed: %s lets in %s and not %s", async (cidr, inside, outside) => {
    const developer = await limitedDeveloper(system(), { allowedCidrs: ["192.0.2.1/32", cidr] })
    const { limitedKey: token } = developer
    const from = (address: string, path = "/v1/charges", method = "POST") =>
      system().request(method, path, {
        token,
        headers: { "x-forwarded-for": address },
        ...(method === "POST" && { body: CALL }),
      })

    expect((await from(inside)).status).toBe(200)
    expect((await from("192.0.2.1")).status).toBe(200)
    const { body } = await expectRefused(from(outside), 403, "ip_not_allowed")
    expect(body.detail).toContain(outside.replace("::ffff:", ""))
    await expectRefused(from(outside, "/v1/balance", "GET"), 403, "ip_not_allowed")
    await expectRefused(from("", "/v1/holds"), 403, "ip_not_allowed")
  })

  test("ip_not_allowed: what an untrusted client says of its address is not believed", async () => {
    const { limitedKey: token } = await limitedDeveloper(system(), {
      allowedCidrs: ["203.0.113.0/24"],
    })
    const headers = { "x-forwarded-for": "203.0.113.1" }
    const answer = another().request("POST", "/v1/charges", { token, body: CALL, headers })
    await expectRefused(answer, 403, "ip_not_allowed")
  })

  test("lists that change hold at once, at gateways that know the key already", async () => {
    const developer = await limitedDeveloper(system(), {})
    const { limitedKey: token, limitedKeyId, token: owner } = developer
    const change = async (limits: object) => {
      const path = `/v1/keys/${limitedKeyId}`
      const changed = await system().request("PATCH", path, { token: owner, body: { limits } })
      expect(changed.status).toBe(200)
    }
    const batch = { items: [CALL, CALL] }
    for (const [limits, status] of [
      [{}, 200],
      [{ interfaces: ["vip.get"] }, 403],
      [{ interfaces: ["vip.get", "user.login"] }, 200],
      [{ allowedCidrs: ["192.0.2.1"] }, 403],
      [{ allowedCidrs: ["127.0.0.0/8"] }, 200],
      [{ interfaces: ["vip.get"] }, 403],
      [{ interfaces: null, allowedCidrs: null }, 200],
    ] as const) {
      if (Object.keys(limits).length > 0) await change(limits)
      for (const { request } of [system(), another()]) {
        const { body } = await request("POST", "/v1/charges/batch", { token, body: batch })
        const inBatch = body.results?.map((each: { status?: number }) => each.status ?? 200)
        expect([limits, inBatch ?? [body.status, body.status]]).toEqual([limits, [status, status]])
        const charge = await request("POST", "/v1/charges", { token, body: CALL })
        expect([limits, charge.status]).toEqual([limits, status])
      }
    }
  })
})

test("a second key with limits of its own is counted by itself", async () => {
  const developer = await limitedDeveloper(system(), { totalFen: 1 })
  const { key } = await keyWith(system(), developer, { totalFen: 1 })
  for (const each of [developer.limitedKey, key]) {
    expect((await developer.charge({}, each)).status).toBe(200)
    await expectRefused(developer.charge({}, each), 402, "key_budget_reached")
  }
})
