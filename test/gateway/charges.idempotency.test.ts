import { describe, expect, test } from "bun:test"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import type { Answer } from "../support/system.ts"
import {
  type Caller,
  expectRefused,
  keyWith,
  newIdempotencyKey,
  newServiceKey,
  postKeyed,
  useTwoGateways,
} from "./calls.ts"

const { system, another } = useTwoGateways()

const CALL = { interface: "user.login" }

function send(
  credential: { key: string },
  key: string,
  body: unknown = CALL,
  at: Caller = system(),
): Promise<Answer> {
  return postKeyed(at, "/v1/charges", { key, token: credential.key, body })
}

test("200: a repeat gets the first answer and says so, at any gateway, and is charged once", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const key = newIdempotencyKey()
  const first = await send(developer, key, { ...CALL, quantity: 7, description: "once" })
  expect(first.status).toBe(200)
  expect(first.headers.has("idempotent-replayed")).toBe(false)
  await developer.charge()

  for (const at of [system(), another()]) {
    const { status, body, headers } = await send(
      developer,
      key,
      { description: "once", quantity: 7, ...CALL },
      at,
    )
    expect(status).toBe(200)
    expect(body).toEqual(first.body)
    expect(headers.get("idempotent-replayed")).toBe("true")
    for (const name of ["x-charge-id", "x-charge-fen", "x-available-fen"]) {
      expect(headers.get(name)).toBe(first.headers.get(name))
    }
  }

  expect((await developer.balance()).body).toMatchObject({ balanceFen: 92, seq: 3 })
})

test("200: however the same request is written, and with defaults written out, it is the same", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const key = newIdempotencyKey()
  const first = await send(developer, key, '{"interface":"user.login","quantity":1}')

  for (const text of [
    '{"interface":"user.login"}',
    '{ "quantity" : 1.0, "interface" : "user\\u002elogin" }',
    '{"interface":"user.login","description":""}',
  ]) {
    const { status, body } = await send(developer, key, text)
    expect([text, status, body.chargeId]).toEqual([text, 200, first.body.chargeId])
  }
})

test("200: 50 at once at two gateways make exactly one charge", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const key = newIdempotencyKey()

  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      send(developer, key, CALL, i % 2 === 0 ? system() : another()),
    ),
  )

  expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
  expect(new Set(answers.map(({ body }) => body.chargeId)).size).toBe(1)
  const firsts = answers.filter(({ headers }) => !headers.has("idempotent-replayed"))
  expect(firsts).toHaveLength(1)
  expect((await developer.balance()).body).toMatchObject({ balanceFen: 99, seq: 2 })
})

test("200: a price that has changed since changes nothing of what a repeat is told", async () => {
  const token = await system().adminToken()
  const price = (priceFen: number) =>
    system().request("PATCH", "/v1/admin/interfaces/vip.get", { token, body: { priceFen } })
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const key = newIdempotencyKey()
  const first = await send(developer, key, { interface: "vip.get", quantity: 3 })
  expect(first.body).toMatchObject({ amountFen: 3, availableCalls: 97 })
  try {
    expect((await price(5)).status).toBe(200)
    await eventually(async () => {
      const { items } = (await system().request("GET", "/v1/interfaces")).body
      expect(Object(items.find(({ id }: { id: string }) => id === "vip.get")).priceFen).toBe(5)
    })

    const { status, body } = await send(developer, key, { interface: "vip.get", quantity: 3 })

    expect([status, body]).toEqual([200, first.body])
  } finally {
    expect((await price(1)).status).toBe(200)
  }
})

test("200: a refusal does not burn the key, and neither is it the answer of a repeat", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 0 })
  const key = newIdempotencyKey()
  await expectRefused(send(developer, key), 402, "insufficient_balance")
  await expectRefused(send(developer, key, { interface: "no.such" }), 404, "unknown_interface")
  await expectRefused(send(developer, key, { quantity: 0, ...CALL }), 422, "validation_failed")
  await developer.credit(5)

  const { status, headers } = await send(developer, key)

  expect([status, headers.has("idempotent-replayed")]).toEqual([200, false])
  expect((await send(developer, key)).headers.get("idempotent-replayed")).toBe("true")
  expect((await developer.balance()).body.balanceFen).toBe(4)
})

test("200: a repeat is answered though the money for it would not be there any more", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1 })
  const key = newIdempotencyKey()
  const first = await send(developer, key)
  expect(first.body.availableFen).toBe(0)

  expect((await send(developer, key)).body).toEqual(first.body)
  await expectRefused(developer.charge(), 402, "insufficient_balance")
})

describe("scope", () => {
  test("keys of one account share it; accounts and service keys do not", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const stranger = await newDeveloper(system(), { balanceFen: 100 })
    const second = await keyWith(system(), developer, {})
    const service = await newServiceKey(system())
    const key = newIdempotencyKey()
    const first = await send(developer, key)

    expect((await send(second, key)).body.chargeId).toBe(first.body.chargeId)
    const theirs = await send(stranger, key)
    expect([theirs.status, theirs.headers.has("idempotent-replayed")]).toEqual([200, false])
    const forThem = await send(service, key, { ...CALL, accountId: developer.accountId })
    expect([forThem.status, forThem.headers.has("idempotent-replayed")]).toEqual([200, false])
    expect((await developer.balance()).body.balanceFen).toBe(98)
    expect((await stranger.balance()).body.balanceFen).toBe(99)
  })

  test("a charge and a hold with the same key are two", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const key = newIdempotencyKey()
    expect((await send(developer, key)).status).toBe(200)

    const held = await postKeyed(system(), "/v1/holds", { key, token: developer.key, body: CALL })

    expect([held.status, held.headers.has("idempotent-replayed")]).toEqual([201, false])
  })
})

describe("422", () => {
  test("another request with the same key is idempotency_key_reused, and changes nothing", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const key = newIdempotencyKey()
    const first = await send(developer, key)

    for (const other of [
      { interface: "vip.get" },
      { ...CALL, quantity: 2 },
      { ...CALL, description: "another" },
    ]) {
      await expectRefused(send(developer, key, other), 422, "idempotency_key_reused")
    }

    expect((await send(developer, key)).body).toEqual(first.body)
    expect((await developer.balance()).body.balanceFen).toBe(99)
  })

  test.each(["", "a b", "ü", "x".repeat(256)])("the key %j is malformed", async (key) => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const { body } = await expectRefused(send(developer, key), 422, "validation_failed")
    expect(body.errors).toEqual([
      { path: "/Idempotency-Key", message: expect.stringContaining("255 visible ASCII") },
    ])
    expect((await developer.balance()).body.balanceFen).toBe(100)
  })

  test("a key of 255 characters, of any that are visible, is a key", async () => {
    const developer = await newDeveloper(system(), { balanceFen: 100 })
    const visible = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).join("")
    for (const key of ["x".repeat(255), visible, "1"]) {
      expect((await send(developer, key)).status).toBe(200)
      expect((await send(developer, key)).headers.get("idempotent-replayed")).toBe("true")
    }
  })
})

test("401: a repeat without a credential, or with one that is revoked, tells nothing", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const { id, key: secret } = await keyWith(system(), developer, {})
  const key = newIdempotencyKey()
  expect((await send({ key: secret }, key)).status).toBe(200)

  const path = `/v1/keys/${id}`
  await system().request("PATCH", path, { token: developer.token, body: { enabled: false } })

  for (const at of [system(), another()]) {
    await expectRefused(send({ key: secret }, key, CALL, at), 401, "key_disabled")
  }
})
