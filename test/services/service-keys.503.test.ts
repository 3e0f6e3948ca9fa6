import { expect, test } from "bun:test"
import { SYSTEM } from "../../src/audit.ts"
import { parseAccountId } from "../../src/ids.ts"
import { sweepServices } from "../../src/ledger/sweep-services.ts"
import { createServices } from "../../src/services/service.ts"
import { eventually } from "../support/eventually.ts"
import { startSystem } from "../support/system.ts"

const PATH = "/v1/admin/service-keys"

test("503: with Redis away a key is disabled or deleted in Postgres, and everywhere when it is back", async () => {
  const system = await startSystem()
  const { request, register, stores, ledger, sql } = system
  const token = await system.adminToken()
  const { accountId } = await register()
  const redisVersion = async () => {
    const outcome = await ledger.readAccount(parseAccountId(accountId))
    return outcome.status === "found" ? outcome.servicesVersion : null
  }
  const keys = []
  for (const name of ["a", "b"])
    keys.push((await request("POST", PATH, { token, body: { name } })).body)
  const [a, b] = keys
  const before = await redisVersion()

  await stores.killRedis()
  const disabled = await request("PATCH", `${PATH}/${a.id}`, { token, body: { enabled: false } })
  expect([disabled.status, disabled.body.code]).toEqual([503, "billing_unavailable"])
  expect(disabled.headers.get("retry-after")).toBe("1")
  expect(disabled.body.detail).toContain("is recorded and takes effect as soon as billing is back")
  const renamed = await request("PATCH", `${PATH}/${a.id}`, { token, body: { name: "c" } })
  expect([renamed.status, renamed.body.enabled]).toEqual([200, false])
  expect((await request("DELETE", `${PATH}/${b.id}`, { token })).status).toBe(503)
  expect((await request("DELETE", `${PATH}/${b.id}`, { token })).status).toBe(404)

  await stores.restartRedis()
  // Nobody asks again: the sweep of the background process does it.
  await eventually(async () => expect(await redisVersion()).toBe(Number(before) + 2))
  const again = await request("PATCH", `${PATH}/${a.id}`, { token, body: { enabled: false } })
  expect([again.status, again.body.enabled]).toEqual([200, false])
  const [row] = await sql`select count(*)::integer as count from service_keys`
  expect(row?.count).toBe(1)
  await system.booksBalance()
  await system.stop()
}, 60_000)

test("a revocation is answered once every partition has its version, and not before", async () => {
  const system = await startSystem()
  const { sql } = system
  const raised: number[] = []
  let isTaken = false
  const raiseServices = (version: number) => {
    raised.push(version)
    return Promise.resolve(isTaken)
  }
  const services = createServices({ sql, ledger: { raiseServices } })
  const { key } = await services.create("backend", SYSTEM)
  const { id } = key
  const disable = { id, name: null, isEnabled: false }
  expect(await services.change(disable, SYSTEM)).toEqual({ status: "pending" })
  isTaken = true
  expect(await services.change(disable, SYSTEM)).toMatchObject({ status: "changed" })
  isTaken = false
  expect(await services.remove(id, SYSTEM)).toEqual({ status: "pending" })
  expect(await sweepServices(sql, raiseServices)).toBe(false)
  isTaken = true
  expect(await sweepServices(sql, raiseServices)).toBe(true)
  expect(raised).toEqual([2, 2, 3, 3, 3])
  await system.stop()
}, 60_000)
