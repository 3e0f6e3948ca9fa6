import { beforeAll, describe, expect, test } from "bun:test"
import { newAccountId, newCredential } from "../../src/ids.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { insertAccount } from "../support/ledger.ts"
import type { Answer } from "../support/system.ts"
import {
  type Caller,
  disableServiceKey,
  expectRefused,
  limitedDeveloper,
  newServiceKey,
  useTwoGateways,
} from "./calls.ts"

/** A provider's backend charges on behalf of accounts. */

const { system, another } = useTwoGateways()
let service: { id: string; key: string }
beforeAll(async () => {
  service = await newServiceKey(system())
})

function charge(
  body: Record<string, unknown>,
  { request }: Caller = system(),
  token: string = service.key,
): Promise<Answer> {
  return request("POST", "/v1/charges", { token, body })
}

const CALL = { interface: "user.login" }

async function recordOf(developer: Developer, seq: number) {
  return await eventually(async () => {
    const { items } = (await developer.get("/v1/changes")).body
    const record = items.find((item: { seq: number }) => item.seq === seq)
    expect(record).toBeDefined()
    return record
  })
}

test("an account named by its id pays, and its record names the service key", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const { accountId } = developer

  const { status, body, headers } = await charge({ ...CALL, accountId, quantity: 3 })

  expect(status).toBe(200)
  expect(body).toMatchObject({ ...CALL, quantity: 3, amountFen: 3, balanceAfterFen: 97 })
  expect(headers.get("x-charge-id")).toBe(body.chargeId)
  expect(await recordOf(developer, 2)).toMatchObject({ keyId: service.id, ...CALL, quantity: 3 })
})

test("an account named by its API key pays, within the limits of that key", async () => {
  const developer = await limitedDeveloper(system(), {
    ...{ balanceFen: 100, totalFen: 5, interfaces: ["user.login"], allowedCidrs: ["192.0.2.1"] },
  })
  const { limitedKey: apiKey, limitedKeyId: keyId } = developer

  // Where a key may be used from binds whoever holds it, and not a backend.
  expect((await charge({ ...CALL, apiKey, quantity: 5 })).status).toBe(200)

  expect(await recordOf(developer, 2)).toMatchObject({ keyId, quantity: 5 })
  await expectRefused(charge({ ...CALL, apiKey }), 402, "key_budget_reached")
  await expectRefused(charge({ interface: "vip.get", apiKey }), 403, "interface_not_allowed")
  await expectRefused(charge({ amountFen: 1, apiKey }), 403, "interface_not_allowed")
})

test("an amount is taken as it is, whatever the quantity, and recorded as custom", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })
  const { accountId, key: apiKey } = developer

  const { body } = await charge({ accountId, amountFen: 137, quantity: 9, description: "tokens" })

  expect(body).toMatchObject({
    ...{ interface: "custom", quantity: 9, amountFen: 137, amount: "1.37", availableCalls: 863 },
  })
  expect((await charge({ apiKey, amountFen: 863 })).body.balanceAfterFen).toBe(0)
  expect(await recordOf(developer, 2)).toMatchObject({
    ...{ interface: "custom", quantity: 9, amountFen: 137, description: "tokens" },
  })
})

test("the balance of an account can be read", async () => {
  const { accountId } = await newDeveloper(system(), { balanceFen: 100 })
  const read = (query: string, token = service.key) =>
    system().request("GET", `/v1/balance${query}`, { token })

  const { status, body } = await read(`?accountId=${accountId}&interface=user.login`)

  expect([status, body.balanceFen, body.availableCalls]).toEqual([200, 100, 100])
  await expectRefused(read(""), 422, "validation_failed")
  await expectRefused(read(`?accountId=${newAccountId()}`), 404, "not_found")
  const { key, token } = await newDeveloper(system())
  await expectRefused(read(`?accountId=${accountId}`, key), 422, "validation_failed")
  await expectRefused(read(`?accountId=${accountId}`, token), 422, "validation_failed")
})

test("an account that Redis has not heard of yet is opened by whoever charges it first", async () => {
  const accountId = newAccountId()
  await insertAccount(system().stores, accountId)
  await expectRefused(charge({ ...CALL, accountId }), 402, "insufficient_balance")
})

test("more than the account has is 402, with the balance of that account", async () => {
  const { accountId } = await newDeveloper(system(), { balanceFen: 5 })
  const refused = charge({ accountId, amountFen: 6 })
  const { body } = await expectRefused(refused, 402, "insufficient_balance")
  expect(body).toMatchObject({ balanceFen: 5, requiredFen: 6 })
})

describe("401", () => {
  test("a disabled service key is dead at once, at gateways that know it already", async () => {
    const { accountId, key: apiKey } = await newDeveloper(system(), { balanceFen: 100 })
    const doomed = await newServiceKey(system())
    for (const at of [system(), another()]) {
      expect((await charge({ ...CALL, accountId }, at, doomed.key)).status).toBe(200)
      expect((await charge({ ...CALL, apiKey }, at, doomed.key)).status).toBe(200)
    }

    await disableServiceKey(system(), doomed)

    for (const at of [system(), another()]) {
      await expectRefused(charge({ ...CALL, accountId }, at, doomed.key), 401, "key_disabled")
      await expectRefused(charge({ ...CALL, apiKey }, at, doomed.key), 401, "key_disabled")
      const path = `/v1/balance?accountId=${accountId}`
      const read = at.request("GET", path, { token: doomed.key })
      await expectRefused(read, 401, "key_disabled")
      // The others go on.
      expect((await charge({ ...CALL, accountId }, at)).status).toBe(200)
    }
  })

  test("an API key that is disabled pays no more, whoever names it", async () => {
    const { key: apiKey, keyId, token } = await newDeveloper(system(), { balanceFen: 100 })
    for (const at of [system(), another()]) {
      expect((await charge({ ...CALL, apiKey }, at)).status).toBe(200)
    }

    await system().request("PATCH", `/v1/keys/${keyId}`, { token, body: { enabled: false } })

    for (const at of [system(), another()]) {
      await expectRefused(charge({ ...CALL, apiKey }, at), 401, "key_disabled")
    }
  })

  test("an API key that is none, or of another kind, is invalid", async () => {
    const { token } = await newDeveloper(system(), { balanceFen: 100 })
    for (const apiKey of ["x", newCredential("fk", newAccountId()), token, service.key]) {
      await expectRefused(charge({ ...CALL, apiKey }), 401, "invalid_credential")
    }
  })

  test("a service key that is not known is invalid", async () => {
    const unknown = `${service.key.slice(0, -1)}${service.key.endsWith("0") ? "1" : "0"}`
    const { accountId } = await newDeveloper(system())
    await expectRefused(
      charge({ ...CALL, accountId }, system(), unknown),
      401,
      "invalid_credential",
    )
  })
})

test("404: an account that does not exist, or cannot, is not found", async () => {
  for (const accountId of [newAccountId(), "acct_1", "x"]) {
    await expectRefused(charge({ ...CALL, accountId }), 404, "not_found")
  }
  expect(system().log.filter((line) => line.includes("ALARM"))).toEqual([])
})

describe("422", () => {
  const accountId = newAccountId()
  test.each([
    ["nobody named", CALL, "/accountId"],
    ["two named", { ...CALL, accountId, apiKey: "fk_1" }, "/accountId"],
    ["an interface and an amount", { ...CALL, accountId, amountFen: 1 }, "/amountFen"],
    ["neither", { accountId }, "/interface"],
    ["an amount of 0", { accountId, amountFen: 0 }, "/amountFen"],
    ["an amount that is no integer", { accountId, amountFen: 1.5 }, "/amountFen"],
  ])("%s is validation_failed, and says where", async (_name, wrong, path) => {
    const { body } = await expectRefused(charge(wrong), 422, "validation_failed")
    expect(body.errors[0].path).toBe(path)
  })
})
