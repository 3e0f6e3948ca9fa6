import { expect, test } from "bun:test"
import { loadKey } from "../../db/queries/load-key.ts"
import { hashCredential } from "../../src/ids.ts"
import { useSystem } from "../support/system.ts"
import { keysOf } from "./keys.ts"

const system = useSystem()
const { makeKey, patch, rotate, read, versions } = keysOf(system)

const loaded = (credential: string) => loadKey(system().sql, hashCredential(credential))

test("201: the new secret is shown once, and the key is the same key", async () => {
  const holder = await system().register()
  const made = await makeKey(holder, { limits: { dailyFen: 5 } })
  const { status, body } = await rotate(holder, made.id, 60)
  expect(status).toBe(201)
  const { key, ...shown } = body
  expect(key).toMatch(/^fk_[0-9a-z]{48}$/)
  expect(key).not.toBe(made.key)
  expect({ ...shown, key: made.key }).toEqual(made)
  expect(await read(holder, made.id)).toEqual(shown)
  expect(await loaded(key)).toMatchObject({ keyId: made.id, expiresAtMs: null, dailyFen: "5" })
  expect(await versions(holder)).toEqual({ postgres: 2, redis: 2, instructions: 1 })
})

test("the secret before opens the key until the overlap ends", async () => {
  const holder = await system().register()
  const { id, key } = await makeKey(holder)
  const before = Date.now()
  await rotate(holder, id, 600)
  const former = await loaded(key)
  expect(former).toMatchObject({ keyId: id, keyHash: hashCredential(key), authVersion: 2 })
  // The clocks of both are this machine's.
  expect(former?.expiresAtMs).toBeGreaterThanOrEqual(before + 600_000 - 10)
  expect(former?.expiresAtMs).toBeLessThanOrEqual(Date.now() + 600_000 + 10)
  await system().sql`update api_keys set previous_expires_at = now() where id = ${id}`
  expect(await loaded(key)).toBeNull()
})

test("the former secret expires with its key, where that is sooner", async () => {
  const holder = await system().register()
  const expiresAt = new Date(Date.now() + 60_000).toISOString()
  const { id, key } = await makeKey(holder, { limits: { expiresAt } })
  const rotated = await rotate(holder, id, 3_600)
  expect((await loaded(key))?.expiresAtMs).toBe(Date.parse(expiresAt))
  expect((await loaded(rotated.body.key))?.expiresAtMs).toBe(Date.parse(expiresAt))
  await patch(holder, id, { limits: { expiresAt: null } })
  expect((await loaded(key))?.expiresAtMs).toBeGreaterThan(Date.parse(expiresAt))
  expect((await loaded(rotated.body.key))?.expiresAtMs).toBeNull()
})

test("with an overlap of 0 the secret before is dead when the answer comes", async () => {
  const holder = await system().register()
  const { id, key } = await makeKey(holder)
  const { body } = await rotate(holder, id, 0)
  expect(await loaded(key)).toBeNull()
  expect(await loaded(body.key)).toMatchObject({ keyId: id, authVersion: 2 })
  expect((await system().request("GET", "/v1/balance", { token: key })).status).toBe(401)
  expect((await system().request("GET", "/v1/balance", { token: body.key })).status).toBe(200)
})

test("a rotation within an overlap ends the first secret at once, and keeps the second", async () => {
  const holder = await system().register()
  const { id, key: first } = await makeKey(holder)
  const second = (await rotate(holder, id, 600)).body.key
  const third = (await rotate(holder, id, 600)).body.key
  const found = await Promise.all([first, second, third].map(loaded))
  expect(found.map((row) => row?.keyId)).toEqual([undefined, id, id])
  expect((await system().request("GET", "/v1/balance", { token: first })).status).toBe(401)
  expect((await system().request("GET", "/v1/balance", { token: second })).status).toBe(200)
  expect(await versions(holder)).toEqual({ postgres: 3, redis: 3, instructions: 2 })
})

test("twenty rotations at once: each has its own secret, and two of them open the key", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const answers = await Promise.all(Array.from({ length: 20 }, () => rotate(holder, id, 600)))
  const secrets = answers.map(({ body }) => body.key)
  expect(new Set(secrets).size).toBe(20)
  const found = await Promise.all(secrets.map(loaded))
  expect(found.filter((row) => row !== null)).toHaveLength(2)
  expect(await versions(holder)).toEqual({ postgres: 21, redis: 21, instructions: 20 })
})

test("404: somebody else's key, and one that is gone", async () => {
  const [owner, other] = [await system().register(), await system().register()]
  const { id, key } = await makeKey(owner)
  expect((await rotate(other, id, 0)).status).toBe(404)
  expect(await loaded(key)).not.toBeNull()
  expect((await rotate(owner, "key_0000000000000000", 0)).status).toBe(404)
  expect(await versions(owner)).toMatchObject({ postgres: 1 })
})

test("422: overlaps that cannot be", async () => {
  const holder = await system().register()
  const { id, key } = await makeKey(holder)
  for (const overlap of [-1, 604_801, 1.5, "60", null, undefined]) {
    const { status, body } = await rotate(holder, id, overlap)
    expect([overlap, status, body.errors[0].path]).toEqual([overlap, 422, "/overlapSeconds"])
  }
  expect((await rotate(holder, id, 604_800)).status).toBe(201)
  expect(await loaded(key)).not.toBeNull()
})
