import { expect, test } from "bun:test"
import { loadKey } from "../../db/queries/load-key.ts"
import { type AccountId, hashCredential, parseAccountId } from "../../src/ids.ts"
import { createKeys } from "../../src/keys/service.ts"
import type { ApplyOutcome } from "../../src/ledger/instructions.ts"
import type { Ledger } from "../../src/ledger/ledger.ts"
import { eventually } from "../support/eventually.ts"
import { startSystem } from "../support/system.ts"
import { keysOf } from "./keys.ts"

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

test("503: with Redis away limits are recorded, and a rotation changes nothing", async () => {
  const system = await startSystem()
  const { makeKey, patch, rotate, read, versions } = keysOf(() => system)
  const holder = await system.register()
  const { id, key } = await makeKey(holder)

  await system.stores.killRedis()
  const limited = await patch(holder, id, { limits: { dailyFen: 5 } })
  expect([limited.status, limited.body.code]).toEqual([503, "billing_unavailable"])
  expect((await read(holder, id)).limits.dailyFen).toBe(5)
  for (const overlap of [0, 600]) {
    const rotated = await rotate(holder, id, overlap)
    expect([rotated.status, rotated.body.code]).toEqual([503, "billing_unavailable"])
    expect(rotated.headers.get("retry-after")).toBe("1")
    expect(rotated.body.detail).toStartWith("Nothing was changed")
  }
  expect((await rotate(holder, "key_0000000000000000", 0)).status).toBe(404)
  expect(await versions(holder)).toMatchObject({ postgres: 2, instructions: 1 })
  expect(await loadKey(system.sql, hashCredential(key))).toMatchObject({ expiresAtMs: null })

  await system.stores.restartRedis()
  await eventually(async () => expect(await versions(holder)).toMatchObject({ redis: 2 }))
  expect((await patch(holder, id, { limits: { dailyFen: 5 } })).status).toBe(200)
  expect((await rotate(holder, id, 0)).status).toBe(201)
  await system.booksBalance()
  await system.stop()
}, 60_000)

/** A ledger that hears of nothing after so many calls: Redis is gone between two steps. */
function silentAfter(calls: number, ledger: Pick<Ledger, "applyPending">) {
  let left = calls
  return {
    applyPending: (accountId: AccountId): Promise<ApplyOutcome> =>
      left-- > 0 ? ledger.applyPending(accountId) : Promise.resolve({ status: "unavailable" }),
  }
}

test("a rotation that Redis does not hear of is answered only if it ends no secret", async () => {
  const system = await startSystem()
  const { sql } = system
  const { accountId: id, token } = await system.register()
  const accountId = parseAccountId(id)
  const { makeKey } = keysOf(() => system)
  const { id: keyId, key } = await makeKey({ token, accountId })
  const rotate = (overlapSeconds: number) =>
    createKeys({ sql, ledger: silentAfter(1, system.ledger) }).rotate({
      accountId,
      id: keyId,
      overlapSeconds,
    })

  const overlapping = await rotate(600)
  expect(overlapping).toMatchObject({ status: "rotated", credential: expect.any(String) })
  expect(await rotate(600)).toEqual({ status: "pending" })
  expect(await rotate(0)).toEqual({ status: "pending" })
  expect(await loadKey(sql, hashCredential(key))).toBeNull()
  await system.booksBalance()
  await system.stop()
}, 60_000)
