import { describe, expect, test } from "bun:test"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import type { Answer, RequestOptions } from "../support/system.ts"
import {
  type Caller,
  disableServiceKey,
  expectRefused,
  keyWith,
  limitedDeveloper,
  newIdempotencyKey,
  newServiceKey,
  postKeyed,
  useTwoGateways,
} from "./calls.ts"

/** Holds: reserve, then take up to it, or release. */

const { system, another } = useTwoGateways()

function hold(token: string, body: object, { request }: Caller = system()): Promise<Answer> {
  return request("POST", "/v1/holds", { token, body })
}

function resolve(
  { token, holdId, verb }: { token: string; holdId: string; verb: "capture" | "void" },
  options: RequestOptions = {},
  { request }: Caller = system(),
): Promise<Answer> {
  return request("POST", `/v1/holds/${holdId}/${verb}`, { token, ...options })
}

async function heldBy(developer: Developer, body: object): Promise<string> {
  const held = await hold(developer.key, body)
  expect(held.status).toBe(201)
  return held.body.holdId
}

async function fenOf(developer: Developer) {
  const { balanceFen, heldFen, availableFen } = (await developer.balance()).body
  return [balanceFen, heldFen, availableFen]
}

describe("201", () => {
  test("a hold takes from what is available, and not from the balance", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const before = Date.now()

    const { status, body } = await hold(developer.key, { interface: "user.login", quantity: 30 })

    expect([status, body]).toEqual([
      201,
      {
        holdId: expect.stringMatching(/^hold_[\w.-]+$/),
        ...{ amountFen: 30, amount: "0.30", availableFen: 70, available: "0.70" },
        expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    ])
    const ttlMs = Date.parse(body.expiresAt) - before
    expect([ttlMs > 59_000, ttlMs < 90_000]).toEqual([true, true])
    expect(await fenOf(developer)).toEqual([100, 30, 70])
    await expectRefused(developer.charge({ quantity: 71 }), 402, "insufficient_balance")
    expect((await developer.charge({ quantity: 70 })).status).toBe(200)
  })

  test("an amount may be held as well, for as long as is asked", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const before = Date.now()
    const { body } = await hold(developer.key, { amountFen: 99, ttlSeconds: 86_400 })
    expect(body).toMatchObject({ amountFen: 99, availableFen: 1 })
    expect(Date.parse(body.expiresAt) - before).toBeGreaterThan(86_300_000)
  })
})

describe("200 capture", () => {
  test("takes all of it, and answers as a charge does; no body is needed", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const held = { interface: "email.send", quantity: 30, description: "letters" }
    const holdId = await heldBy(developer, held)

    const { status, body, headers } = await resolve({
      ...{ token: developer.key, holdId, verb: "capture" },
    })

    expect([status, body]).toEqual([
      200,
      {
        chargeId: expect.stringMatching(/^chg_[0-9a-z]{16}_\d{6}_2$/),
        ...{ interface: "email.send", quantity: 30, amountFen: 30, amount: "0.30" },
        ...{ balanceBeforeFen: 100, balanceBefore: "1.00", balanceAfterFen: 70 },
        ...{ balanceAfter: "0.70", balanceFen: 70, balance: "0.70", availableFen: 70 },
        ...{ available: "0.70", availableCalls: 70, seq: 2 },
        at: expect.stringMatching(/Z$/),
      },
    ])
    expect(headers.get("x-charge-id")).toBe(body.chargeId)
    expect(headers.get("x-charge-fen")).toBe("30")
    expect(headers.get("x-available-fen")).toBe("70")
    expect(await fenOf(developer)).toEqual([70, 0, 70])
    const { items } = await eventually(async () => {
      const changes = await developer.get("/v1/changes?type=2")
      expect(changes.body.items).toHaveLength(1)
      return changes.body
    })
    expect(items[0]).toMatchObject({
      ...{ kind: "capture", interface: "email.send", quantity: 30, description: "letters" },
      ...{ keyId: developer.keyId, chargeId: body.chargeId, amountFen: 30 },
    })
  })

  test("takes a part, and the rest is available again", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const holdId = await heldBy(developer, { amountFen: 50 })
    const capture = { token: developer.key, holdId, verb: "capture" } as const
    const { body } = await resolve(capture, { body: { amountFen: 1 } })
    expect(body).toMatchObject({ interface: "custom", amountFen: 1, availableFen: 99 })
    expect(await fenOf(developer)).toEqual([99, 0, 99])
  })

  test("by another key of the account, at another gateway, is as good", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const { key } = await keyWith(system(), developer, {})
    const holdId = await heldBy(developer, { amountFen: 5 })
    expect((await resolve({ token: key, holdId, verb: "capture" }, {}, another())).status).toBe(200)
  })
})

test("200 void: what was held is available again, and nothing was taken", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const holdId = await heldBy(developer, { amountFen: 50 })

  const { status, body } = await resolve({ token: developer.key, holdId, verb: "void" })

  expect([status, body]).toEqual([200, { holdId, availableFen: 100, available: "1.00" }])
  expect((await developer.balance()).body).toMatchObject({ balanceFen: 100, heldFen: 0, seq: 1 })
})

test("a hold whose time is over is voided by the system, and then it is too late", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const { body } = await hold(developer.key, { amountFen: 50, ttlSeconds: 1 })

  await eventually(async () => expect(await fenOf(developer)).toEqual([100, 0, 100]))

  for (const verb of ["capture", "void"] as const) {
    const late = resolve({ token: developer.key, holdId: body.holdId, verb })
    await expectRefused(late, 409, "hold_expired")
  }
})

describe("409", () => {
  test("a hold resolves once, however many ask at once at two gateways", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const holdId = await heldBy(developer, { amountFen: 50 })

    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => {
        const verb = i % 3 === 0 ? "void" : "capture"
        return resolve({ token: developer.key, holdId, verb }, {}, i % 2 ? system() : another())
      }),
    )

    const done = answers.filter(({ status }) => status === 200)
    const late = answers.filter(({ body }) => body.code === "hold_already_resolved")
    expect([done.length, late.length]).toEqual([1, 29])
    const taken = done[0]?.body.amountFen ?? 0
    expect(await fenOf(developer)).toEqual([100 - taken, 0, 100 - taken])
  })
})

describe("422", () => {
  test("more than is held is capture_exceeds_hold, and the hold stays", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const holdId = await heldBy(developer, { amountFen: 50 })
    const capture = { token: developer.key, holdId, verb: "capture" } as const
    const { body } = await expectRefused(
      ...([resolve(capture, { body: { amountFen: 51 } }), 422, "capture_exceeds_hold"] as const),
    )
    expect(body).toMatchObject({ holdFen: 50, hold: "0.50" })
    expect(await fenOf(developer)).toEqual([100, 50, 50])
    expect((await resolve(capture, { body: { amountFen: 50 } })).status).toBe(200)
  })

  test.each([
    ["neither interface nor amount", {}, "/interface"],
    ["both", { interface: "user.login", amountFen: 1 }, "/amountFen"],
    ["a second of 0", { amountFen: 1, ttlSeconds: 0 }, "/ttlSeconds"],
    ["longer than a day", { amountFen: 1, ttlSeconds: 86_401 }, "/ttlSeconds"],
    ["an account, by an API key", { amountFen: 1, accountId: "acct_1" }, "/accountId"],
    ["an unknown field", { amountFen: 1, ttl: 5 }, "/ttl"],
  ])("%s", async (_name, wrong, path) => {
    const { key } = await newDeveloper(system(), { balanceFen: 100 })
    const { body } = await expectRefused(hold(key, wrong), 422, "validation_failed")
    expect(body.errors[0].path).toBe(path)
  })

  test.each([{ amountFen: 0 }, { amountFen: 1.5 }, { amount: 1 }, "[]", "null1"])(
    "a capture of %j is refused, and the hold stays",
    async (wrong) => {
      const developer = await newDeveloper(system(), { balanceFen: 100 })
      const holdId = await heldBy(developer, { amountFen: 50 })
      const capture = { token: developer.key, holdId, verb: "capture" } as const
      expect([400, 422]).toContain((await resolve(capture, { body: wrong })).status)
      expect(await fenOf(developer)).toEqual([100, 50, 50])
    },
  )
})

describe("404", () => {
  test("a stranger's hold, one that never was, and no hold at all are not found", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const stranger = await newDeveloper(system(), { balanceFen: 100 })
    const holdId = await heldBy(developer, { amountFen: 50 })
    const never = holdId.replace(/^(hold_.{16}).{16}/, `$1${"0".repeat(16)}`)
    for (const verb of ["capture", "void"] as const) {
      for (const [token, id] of [
        [stranger.key, holdId],
        [developer.key, never],
        [developer.key, "hold_1"],
        [developer.key, "..%2f"],
      ] as const) {
        await expectRefused(resolve({ token, holdId: id, verb }), 404, "not_found")
      }
    }
    expect(await fenOf(developer)).toEqual([100, 50, 50])
  })
})

describe("401", () => {
  test("a revoked key holds nothing and resolves nothing, at gateways that know it already", async () => {
    const developer = await limitedDeveloper(system(), {})
    const { limitedKey: token, limitedKeyId, token: owner } = developer
    const holdId = await heldBy(developer, { amountFen: 5 })
    for (const at of [system(), another()]) {
      expect((await hold(token, { amountFen: 5 }, at)).status).toBe(201)
    }
    const path = `/v1/keys/${limitedKeyId}`
    await system().request("PATCH", path, { token: owner, body: { enabled: false } })

    for (const at of [system(), another()]) {
      await expectRefused(hold(token, { amountFen: 5 }, at), 401, "key_disabled")
      const capture = resolve({ token, holdId, verb: "capture" }, {}, at)
      await expectRefused(capture, 401, "key_disabled")
    }
    expect((await resolve({ token: developer.key, holdId, verb: "void" })).status).toBe(200)
  })

  test("nor does a disabled service key", async () => {
    const service = await newServiceKey(system())
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const holdId = await heldBy(developer, { amountFen: 5 })
    const capture = { token: service.key, holdId, verb: "capture" } as const
    expect((await hold(service.key, { amountFen: 1, apiKey: developer.key })).status).toBe(201)
    await disableServiceKey(system(), service)
    await expectRefused(resolve(capture), 401, "key_disabled")
    await expectRefused(resolve(capture, {}, another()), 401, "key_disabled")
  })
})

test("a service key holds for any account, and resolves any hold", async () => {
  const service = await newServiceKey(system())
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const { accountId, key: apiKey } = developer
  const own = await heldBy(developer, { amountFen: 5 })
  for (const body of [
    { amountFen: 20, accountId },
    { interface: "vip.get", quantity: 20, apiKey },
  ]) {
    const { status, body: held } = await hold(service.key, body)
    expect(status).toBe(201)
    const capture = { token: service.key, holdId: held.holdId, verb: "capture" } as const
    expect((await resolve(capture)).body.amountFen).toBe(20)
  }
  expect((await resolve({ token: service.key, holdId: own, verb: "void" })).status).toBe(200)
  expect(await fenOf(developer)).toEqual([60, 0, 60])
  const unknown = hold(service.key, { amountFen: 1, accountId: "acct_0000000000000000" })
  await expectRefused(unknown, 404, "not_found")
  const none = resolve({ token: service.key, holdId: "hold_1", verb: "void" })
  await expectRefused(none, 404, "not_found")
})

describe("sent again with its Idempotency-Key", () => {
  test("a hold is the same hold, and its capture and its void the same answer", async () => {
    const { key: token, ...developer } = await newDeveloper(system(), { balanceFen: 100 })
    const twice = async (path: string, body?: unknown) => {
      const keyed = { key: newIdempotencyKey(), token, body }
      const first = await postKeyed(system(), path, keyed)
      const again = await postKeyed(another(), path, keyed)
      expect([again.status, again.body]).toEqual([first.status, first.body])
      expect(first.headers.has("idempotent-replayed")).toBe(false)
      expect(again.headers.get("idempotent-replayed")).toBe("true")
      return { ...first, keyed }
    }

    const held = await twice("/v1/holds", { amountFen: 30 })
    const capture = await twice(`/v1/holds/${held.body.holdId}/capture`, { amountFen: 10 })
    expect([held.status, capture.status, capture.body.balanceAfterFen]).toEqual([201, 200, 90])
    const other = await twice("/v1/holds", { interface: "user.login" })
    await twice(`/v1/holds/${other.body.holdId}/void`)

    const changed = { ...held.keyed, body: { amountFen: 30, ttlSeconds: 5 } }
    const reused = postKeyed(system(), "/v1/holds", changed)
    await expectRefused(reused, 422, "idempotency_key_reused")
    expect((await developer.balance()).body).toMatchObject({ balanceFen: 90, heldFen: 0, seq: 2 })
  })
})
