import { afterEach, beforeAll, describe, expect, test } from "bun:test"
import { newAccountId, newCredential } from "../../src/ids.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { type Answer, useSystem } from "../support/system.ts"

/** Everything that may not be charged: its status and code, and that nothing is changed by it. */

const system = useSystem()
let developer: Developer
beforeAll(async () => {
  developer = await newDeveloper(system(), { balanceFen: 100 })
})
afterEach(async () => {
  expect((await developer.balance()).body.balanceFen).toBe(100)
})

describe("401", () => {
  test("no credential is missing_credential", async () => {
    const body = { interface: "user.login" }
    await refused(system().request("POST", "/v1/charges", { body }), 401, "missing_credential")
  })

  test("a key that is unknown, malformed, one character off, or of another kind is invalid", async () => {
    const { key, token } = developer
    const last = key.at(-1) === "0" ? "1" : "0"
    const middle = key.slice(0, 30) + (key[30] === "0" ? "1" : "0") + key.slice(31)
    const unknown = newCredential("fk", newAccountId())
    const wrong = [unknown, key.slice(0, -1) + last, middle, key.toUpperCase(), `${key} `.repeat(2)]
    for (const credential of [...wrong, token, "fk_", "x", "é".repeat(9)]) {
      const charge = await developer.charge({}, credential)
      expect([credential, charge.status, charge.body.code]).toEqual([
        credential,
        401,
        "invalid_credential",
      ])
    }
  })

  test("a disabled key is refused at once, and works again once it is enabled", async () => {
    const other = await newDeveloper(system(), { balanceFen: 5 })
    expect((await other.charge()).status).toBe(200)
    const patch = (enabled: boolean) =>
      system().request("PATCH", `/v1/keys/${other.keyId}`, {
        token: other.token,
        body: { enabled },
      })

    expect((await patch(false)).status).toBe(200)
    await refused(other.charge(), 401, "key_disabled")
    await refused(other.balance(), 401, "key_disabled")
    expect((await patch(true)).status).toBe(200)

    expect((await other.charge()).status).toBe(200)
  })

  test("a deleted key is invalid at once; the account's other key goes on", async () => {
    const other = await newDeveloper(system(), { balanceFen: 5 })
    const { token } = other
    const made = await system().request("POST", "/v1/keys", { token, body: { name: "second" } })
    expect((await other.charge()).status).toBe(200)
    expect((await other.charge({}, made.body.key)).status).toBe(200)

    expect((await system().request("DELETE", `/v1/keys/${other.keyId}`, { token })).status).toBe(
      204,
    )

    await refused(other.charge(), 401, "invalid_credential")
    expect((await other.charge({}, made.body.key)).status).toBe(200)
  })
})

test("an interface that does not exist is 404 unknown_interface", async () => {
  for (const name of ["user.logon", "USER.LOGIN", "__proto__", "toString"]) {
    await refused(developer.charge({ interface: name }), 404, "unknown_interface")
  }
})

test("more than the balance is 402, and says what is needed", async () => {
  const { status, body } = await developer.charge({ quantity: 101 })
  expect(status).toBe(402)
  expect(body).toMatchObject({
    code: "insufficient_balance",
    detail:
      "Insufficient developer balance, current balance: 1.00 CNY, please recharge and try again!",
    balanceFen: 100,
    availableFen: 100,
    requiredFen: 101,
    retryable: false,
  })
  expect(body.rechargeUrl).toStartWith("http")
})

describe("422", () => {
  const wrong: [string, Record<string, unknown>][] = [
    ["quantity 0", { quantity: 0 }],
    ["a negative quantity", { quantity: -1 }],
    ["a fraction", { quantity: 1.5 }],
    ["a quantity as text", { quantity: "1" }],
    ["a quantity of 2^53", { quantity: 2 ** 53 }],
    ["a quantity above a million", { quantity: 1_000_001 }],
    ["a quantity of null", { quantity: null }],
    ["an empty interface", { interface: "" }],
    ["an interface that is a number", { interface: 7 }],
    ["a description of 201 characters", { description: "x".repeat(201) }],
    ["a description with a NUL", { description: "a\u0000b" }],
    ["a description with a line break", { description: "a\nb" }],
    ["an unknown field", { amount: 1 }],
    ["an amount, which only a service key gives", { amountFen: 1 }],
    ["an account, which only a service key names", { accountId: "acct_0000000000000000" }],
    ["another key, which only a service key names", { apiKey: "fk_1" }],
  ]
  test.each(wrong)("%s is validation_failed, and says where", async (_name, body) => {
    const answer = await refused(developer.charge(body), 422, "validation_failed")
    expect(answer.errors).toBeArray()
  })

  test.each(["[]", "null", "1", '"x"', "{}"])("the body %s is validation_failed", async (text) => {
    await refused(send(text), 422, "validation_failed")
  })
})

describe("400, 413, 415", () => {
  test.each(["{", "interface=user.login", '{"interface":', "\u0000", "NaN"])(
    "the body %j is malformed_json",
    async (text) => {
      await refused(send(text), 400, "malformed_json")
    },
  )

  test("a body nested 30,000 deep is refused", async () => {
    const answer = await send("[".repeat(30_000) + "]".repeat(30_000))
    expect([400, 422]).toContain(answer.status)
  })

  test("more than 64 KiB is body_too_large, with and without its length announced", async () => {
    const text = JSON.stringify({ interface: "x".repeat(70_000) })
    await refused(send(text), 413, "body_too_large")
    const chunks = new Blob([text]).stream()
    await refused(send(chunks), 413, "body_too_large")
  })

  test("another media type is unsupported_media_type", async () => {
    const answer = send("interface=user.login", { "content-type": "text/plain" })
    await refused(answer, 415, "unsupported_media_type")
  })
})

function send(text: string | ReadableStream, headers: Record<string, string> = {}) {
  return system().request("POST", "/v1/charges", {
    body: text,
    headers: {
      authorization: `Bearer ${developer.key}`,
      "content-type": "application/json",
      ...headers,
    },
  })
}

async function refused(
  answer: Answer | Promise<Answer>,
  status: number,
  code: string,
): Promise<Answer["body"]> {
  const { body, headers, ...rest } = await answer
  expect({ status: rest.status, code: body.code }).toEqual({ status, code })
  expect(headers.get("content-type")).toStartWith("application/problem+json")
  expect(body.requestId).toBe(headers.get("x-request-id"))
  return body
}
