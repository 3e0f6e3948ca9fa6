import { expect, test } from "bun:test"
import { newAccountId } from "../../src/ids.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"
import { reversalsOf } from "./reversals.ts"

const system = useSystem()
const { makeService, admin, reverse } = reversalsOf(system)

async function newCharge() {
  const developer = await newDeveloper(system(), { balanceFen: 10 })
  const charged = (await developer.charge({ quantity: 10 })).body
  expect(charged.chargeId).toMatch(/^chg_/)
  return { developer, chargeId: String(charged.chargeId) }
}

test("401: only a service key that is valid reverses anything", async () => {
  const { developer, chargeId } = await newCharge()
  const { key } = await makeService()
  const answers: [string | undefined, string][] = [
    [undefined, "missing_credential"],
    [developer.key, "invalid_credential"],
    [developer.token, "invalid_credential"],
    [`${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`, "invalid_credential"],
    ["fs_", "invalid_credential"],
  ]
  for (const [credential, code] of answers) {
    const { status, body } = await reverse(chargeId, { key: credential })
    expect([credential, status, body.code]).toEqual([credential, 401, code])
  }
  expect((await developer.balance()).body.balanceFen).toBe(0)
})

test("401: a key that was disabled or deleted since is dead at once", async () => {
  const [disabled, deleted] = [await makeService(), await makeService()]
  for (const { key } of [disabled, deleted]) {
    expect((await reverse((await newCharge()).chargeId, { key })).status).toBe(200)
  }
  await admin("PATCH", `/v1/admin/service-keys/${disabled.id}`, { enabled: false })
  await admin("DELETE", `/v1/admin/service-keys/${deleted.id}`)
  const { developer, chargeId } = await newCharge()
  for (const { key } of [disabled, deleted]) {
    const { status, body } = await reverse(chargeId, { key })
    expect([status, ["key_disabled", "invalid_credential"].includes(body.code)]).toEqual([
      401,
      true,
    ])
  }
  expect((await developer.balance()).body.balanceFen).toBe(0)
  await admin("PATCH", `/v1/admin/service-keys/${disabled.id}`, { enabled: true })
  expect((await reverse(chargeId, { key: disabled.key })).status).toBe(200)
})

test("404: what is no charge", async () => {
  const { key } = await makeService()
  const { developer, chargeId } = await newCharge()
  const [, own = "", month = ""] = chargeId.split("_")
  const other = newAccountId().slice(5)
  // The record of the redemption; numbers that are not there yet; other months and accounts.
  const wrong = [
    `chg_${own}_${month}_1`,
    `chg_${own}_${month}_3`,
    `chg_${own}_${month}_999999`,
    `chg_${own}_202001_2`,
    `chg_${other}_${month}_2`,
    `chg_${own}_${month}_0`,
    `chg_${own}_${month}_02`,
    `chg_${own}_202613_2`,
    `chg_${own}_202600_2`,
    `${chargeId}x`,
    "chg_",
    "nonsense",
    developer.accountId,
  ]
  for (const id of wrong) {
    const { status, body } = await reverse(id, { key })
    expect([id, status, body.code]).toEqual([id, 404, "not_found"])
  }
  expect((await developer.balance()).body.balanceFen).toBe(0)
  expect((await reverse(chargeId, { key })).status).toBe(200)
})

test("409 already_reversed: twice, by whomever", async () => {
  const [service, other] = [await makeService(), await makeService()]
  const { developer, chargeId } = await newCharge()
  expect((await reverse(chargeId, { key: service.key })).status).toBe(200)
  for (const { key } of [service, other]) {
    const { status, body } = await reverse(chargeId, { key })
    expect([status, body.code, body.retryable]).toEqual([409, "already_reversed", false])
  }
  expect((await developer.balance()).body.balanceFen).toBe(10)
})

test("409: of twenty at once one reverses", async () => {
  const services = [await makeService(), await makeService()]
  const { developer, chargeId } = await newCharge()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => reverse(chargeId, { key: services[i % 2]?.key })),
  )
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  expect(answers.filter(({ body }) => body.code === "already_reversed")).toHaveLength(19)
  expect((await developer.balance()).body.balanceFen).toBe(10)
})

test("a reversal is reversed by nobody", async () => {
  const { key } = await makeService()
  const { chargeId } = await newCharge()
  const { body } = await reverse(chargeId, { key })
  const id = chargeId.replace(/_\d+$/, `_${body.seq}`)
  expect((await reverse(id, { key })).body.code).toBe("not_found")
})

test("422: a body that says something, and an Idempotency-Key that is none", async () => {
  const { key } = await makeService()
  const { developer, chargeId } = await newCharge()
  for (const body of [{ amountFen: 5 }, [], "5", '"x"']) {
    const { status, body: problem } = await reverse(chargeId, { key, body })
    expect([body, status, problem.code]).toEqual([body, 422, "validation_failed"])
  }
  expect((await reverse(chargeId, { key, body: "{" })).body.code).toBe("malformed_json")
  for (const given of ["a b", "", "x".repeat(256)]) {
    const headers = { "idempotency-key": given }
    const { status, body } = await reverse(chargeId, { key, headers })
    expect([given, status, body.errors?.[0].path]).toEqual([given, 422, "/Idempotency-Key"])
  }
  expect((await developer.balance()).body.balanceFen).toBe(0)
})

test("422: a balance above the largest that there may be", async () => {
  const { key } = await makeService()
  const { developer, chargeId } = await newCharge()
  await eventually(async () => {
    const { items } = (await developer.get("/v1/changes")).body
    expect(items).toHaveLength(2)
  })
  await developer.credit(90_000_000_000_000 - 9)
  const { status, body } = await reverse(chargeId, { key })
  expect([status, body.code]).toEqual([422, "validation_failed"])
  await developer.charge()
  await eventually(async () => expect((await reverse(chargeId, { key })).status).toBe(200))
  expect((await developer.balance()).body.balanceFen).toBe(90_000_000_000_000)
})
