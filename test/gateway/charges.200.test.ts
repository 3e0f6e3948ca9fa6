import { expect, test } from "bun:test"
import { FormatRegistry, type TSchema } from "@sinclair/typebox"
import { Value } from "@sinclair/typebox/value"
import { Balance, Charge, Hold, VoidedHold } from "../../src/gateway/model.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"
import { untilDecided } from "./calls.ts"

const system = useSystem()

test("a charge answers with every field of the contract, and its headers agree with it", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })

  const { status, body, headers } = await developer.charge({ quantity: 3, description: "a b" })

  expect(status).toBe(200)
  expect(body).toEqual({
    chargeId: expect.stringMatching(/^chg_[0-9a-z]{16}_\d{6}_2$/),
    interface: "user.login",
    quantity: 3,
    amountFen: 3,
    amount: "0.03",
    balanceBeforeFen: 1_000,
    balanceBefore: "10.00",
    balanceAfterFen: 997,
    balanceAfter: "9.97",
    balanceFen: 997,
    balance: "9.97",
    availableFen: 997,
    available: "9.97",
    availableCalls: 997,
    seq: 2,
    at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  })
  expect(headers.get("x-charge-id")).toBe(body.chargeId)
  expect(headers.get("x-charge-fen")).toBe("3")
  expect(headers.get("x-available-fen")).toBe("997")
  expect(headers.get("content-type")).toStartWith("application/json")
})

test("what the hot path answers fits what the document says of it, field by field", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })
  const charge = (await developer.charge({ quantity: 2 })).body
  const balance = (await developer.balance()).body
  const post = (path: string, body?: unknown) =>
    system().request("POST", path, { token: developer.key, body })
  const [held, other] = [
    (await post("/v1/holds", { amountFen: 5 })).body,
    (await post("/v1/holds", { interface: "vip.get" })).body,
  ]
  const capture = (await post(`/v1/holds/${held.holdId}/capture`)).body
  const voided = (await post(`/v1/holds/${other.holdId}/void`)).body
  const batch = (await post("/v1/charges/batch", { items: [{ interface: "vip.get" }] })).body
  const told = (await system().request("GET", "/openapi.json")).body.paths
  type Told = { responses: Record<string, { content: object }> }
  const schemaOf = ({ responses }: Told) =>
    Object((responses["200"] ?? responses["201"])?.content)["application/json"].schema

  for (const [body, schema] of [
    [charge, schemaOf(told["/v1/charges"].post)],
    [balance, schemaOf(told["/v1/balance"].get)],
    [held, schemaOf(told["/v1/holds"].post)],
    [capture, schemaOf(told["/v1/holds/{holdId}/capture"].post)],
    [voided, schemaOf(told["/v1/holds/{holdId}/void"].post)],
    [batch, schemaOf(told["/v1/charges/batch"].post)],
  ]) {
    expect(Object.keys(body).toSorted()).toEqual(Object.keys(schema.properties).toSorted())
  }
  for (const each of [charge, capture, batch.results[0]]) {
    expect(violationsOf(Charge, each)).toEqual([])
  }
  expect(violationsOf(Hold, held)).toEqual([])
  expect(violationsOf(VoidedHold, voided)).toEqual([])
  expect(violationsOf(Balance, balance)).toEqual([])
  expect(told["/v1/charges"].post.responses["402"].content).toHaveProperty([
    "application/problem+json",
  ])
})

/** What does not fit; date-time is a format that the checker has to be told of first. */
function violationsOf(schema: TSchema, value: unknown): string[] {
  FormatRegistry.Set("date-time", (text) => !Number.isNaN(Date.parse(text)))
  return [...Value.Errors(schema, value)].map(({ path, message }) => `${path}: ${message}`)
}

test("the key is taken from X-Api-Key as well, and the caller's request id comes back", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 10 })

  const { status, headers } = await system().request("POST", "/v1/charges", {
    headers: { "x-api-key": developer.key, "x-request-id": "caller-1.2_3" },
    body: { interface: "email.send" },
  })

  expect(status).toBe(200)
  expect(headers.get("x-request-id")).toBe("caller-1.2_3")
})

test("all sixteen interfaces can be charged, at 1 fen each", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 16 })
  const { body } = await system().request("GET", "/v1/interfaces", {})
  const items: { id: string; priceFen: number }[] = body.items
  expect(items.map(({ id }) => id).sort()).toEqual(
    [
      "user.register user.login user.password user.qq user.avatar user.sign_in user.feedback",
      "email.send balance.add balance.deduct account.get vip.get",
      "binding.add binding.list binding.initiate binding.users",
    ]
      .join(" ")
      .split(" ")
      .sort(),
  )

  for (const { id, priceFen } of items) {
    expect(priceFen).toBe(1)
    expect((await developer.charge({ interface: id })).status).toBe(200)
  }

  expect((await developer.charge()).status).toBe(402)
})

test("descriptions of any script come out of the record exactly", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 10 })
  const descriptions = [
    "用户登录",
    "NULL",
    '{"a"}',
    "\\",
    "a,b",
    "😀".repeat(50),
    "'; drop table x --",
  ]

  for (const description of descriptions) {
    expect((await developer.charge({ description })).status).toBe(200)
  }

  await eventually(async () => {
    const items: { description: string }[] = (await developer.get("/v1/changes?type=2")).body.items
    expect(items.map(({ description }) => description).reverse()).toEqual(descriptions)
  })
})

test("2,000 calls at once on 1,000 fen: exactly 1,000 pay and 1,000 are refused", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })

  const answers = await Promise.all(
    Array.from({ length: 2_000 }, () => untilDecided(() => developer.charge())),
  )

  const paid = answers.filter(({ status }) => status === 200)
  const refused = answers.filter(({ status }) => status === 402)
  expect([paid.length, refused.length]).toEqual([1_000, 1_000])
  expect(new Set(paid.map(({ body }) => body.seq)).size).toBe(1_000)
})
