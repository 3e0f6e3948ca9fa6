import { expect, test } from "bun:test"
import { parseAccountId } from "../../src/ids.ts"
import { eventually } from "../support/eventually.ts"
import { startSystem } from "../support/system.ts"

test("503: with Redis away a switch is recorded, and takes effect when it is back", async () => {
  const system = await startSystem()
  const { request, register, stores, ledger, stop } = system
  const { token, accountId } = await register()
  const keys = []
  for (const name of ["a", "b"])
    keys.push((await request("POST", "/v1/keys", { token, body: { name } })).body)
  const [a, b] = keys

  await stores.killRedis()
  const disabled = await request("PATCH", `/v1/keys/${a.id}`, { token, body: { enabled: false } })
  expect([disabled.status, disabled.body.code]).toEqual([503, "billing_unavailable"])
  expect(disabled.headers.get("retry-after")).toBe("1")
  expect(disabled.body.detail).toContain("is recorded and takes effect as soon as billing is back")
  const again = await request("PATCH", `/v1/keys/${a.id}`, { token, body: { enabled: false } })
  expect(again.status).toBe(503)
  expect((await request("PATCH", `/v1/keys/${a.id}`, { token, body: { name: "c" } })).status).toBe(
    200,
  )
  expect((await request("DELETE", `/v1/keys/${b.id}`, { token })).status).toBe(503)
  expect((await request("DELETE", `/v1/keys/${b.id}`, { token })).status).toBe(404)

  await stores.restartRedis()
  await eventually(async () => {
    const outcome = await ledger.readAccount(parseAccountId(accountId))
    expect(outcome).toMatchObject({ status: "found", account: { authVersion: 3 } })
  })
  const retried = await request("PATCH", `/v1/keys/${a.id}`, { token, body: { enabled: false } })
  expect([retried.status, retried.body.enabled]).toEqual([200, false])
  await system.booksBalance()
  await stop()
}, 60_000)
