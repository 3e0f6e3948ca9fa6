import { expect, test } from "bun:test"
import { hashCredential } from "../../src/ids.ts"
import { useSystem } from "../support/system.ts"
import { keysOf, NO_LIMITS } from "./keys.ts"

const system = useSystem()
const { makeKey, patch, remove, versions } = keysOf(system)

test("201: a key is shown once; what is kept is its hash", async () => {
  const holder = await system().register()
  const made = await makeKey(holder)
  expect(made).toEqual({
    id: expect.stringMatching(/^key_[0-9a-z]{16}$/),
    name: "first",
    key: expect.stringMatching(/^fk_[0-9a-z]{48}$/),
    enabled: true,
    limits: NO_LIMITS,
    createdAt: expect.any(String),
  })
  const { key, ...shown } = made
  expect((await system().request("GET", `/v1/keys/${made.id}`, holder)).body).toEqual(shown)
  expect((await system().request("GET", "/v1/keys", holder)).body).toEqual({
    items: [shown],
    nextCursor: null,
  })
  const [row] = await system().sql`select * from api_keys where id = ${made.id}`
  expect(row?.key_hash).toBe(hashCredential(key))
  expect(JSON.stringify(row)).not.toContain(key)
  expect(await versions(holder)).toEqual({ postgres: 1, redis: 1, instructions: 0 })
})

test("200: disabling and enabling each raise the auth version, in Postgres and in Redis", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const disabled = await patch(holder, id, { enabled: false })
  expect([disabled.status, disabled.body.enabled]).toEqual([200, false])
  expect(await versions(holder)).toEqual({ postgres: 2, redis: 2, instructions: 1 })
  expect((await patch(holder, id, { enabled: true })).body.enabled).toBe(true)
  expect(await versions(holder)).toEqual({ postgres: 3, redis: 3, instructions: 2 })
})

test("200: a new name, and what is so already, raise nothing", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  expect((await patch(holder, id, { name: "second" })).body.name).toBe("second")
  expect((await patch(holder, id, { enabled: true })).status).toBe(200)
  expect((await patch(holder, id, { name: "third", enabled: true })).body.name).toBe("third")
  expect(await versions(holder)).toEqual({ postgres: 1, redis: 1, instructions: 0 })
})

test("204: deleting raises the auth version, and the key is gone", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const { status, body } = await remove(holder, id)
  expect([status, body]).toEqual([204, ""])
  expect(await versions(holder)).toEqual({ postgres: 2, redis: 2, instructions: 1 })
  expect((await remove(holder, id)).status).toBe(404)
  expect((await system().request("GET", "/v1/keys", holder)).body.items).toEqual([])
})

test("each of many switches at once that changes something is one instruction", async () => {
  const holder = await system().register()
  const keys = [await makeKey(holder), await makeKey(holder), await makeKey(holder)]
  await Promise.all(
    Array.from({ length: 30 }, (_, i) => patch(holder, keys[i % 3].id, { enabled: i % 2 === 0 })),
  )
  await Promise.all(keys.map(({ id }) => remove(holder, id)))
  const { postgres, redis, instructions = 0 } = await versions(holder)
  expect(instructions).toBeGreaterThanOrEqual(3)
  expect([postgres, redis]).toEqual([1 + instructions, 1 + instructions])
})

test("404: somebody else's key is neither shown, changed nor deleted", async () => {
  const [owner, other] = [await system().register(), await system().register()]
  const { id } = await makeKey(owner)
  const path = `/v1/keys/${id}`
  expect((await system().request("GET", path, other)).status).toBe(404)
  expect((await patch(other, id, { enabled: false })).status).toBe(404)
  expect((await remove(other, id)).status).toBe(404)
  expect((await system().request("GET", path, owner)).body.enabled).toBe(true)
  expect(await versions(owner)).toMatchObject({ postgres: 1 })
  expect((await system().request("GET", "/v1/keys/key_%00", owner)).status).toBe(404)
})

test("422: names that are none, and a change of nothing", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const names = ["", "x".repeat(65), "a\u0000b", "a\nb", 5, null, ["a"]]
  for (const name of names) {
    const { status } = await system().request("POST", "/v1/keys", { ...holder, body: { name } })
    expect([name, status]).toEqual([name, 422])
    expect((await patch(holder, id, { name })).status).toBe(422)
  }
  for (const change of [{}, { enabled: "false" }, { enabled: 0 }, { enabled: null }, { id: "x" }]) {
    expect((await patch(holder, id, change)).status).toBe(422)
  }
})

test("422: the hundred and first key", async () => {
  const holder = await system().register()
  await system().sql`insert into api_keys (id, account_id, name, key_hash)
    select 'key_' || ${holder.accountId} || n, ${holder.accountId}, 'many', ${holder.accountId} || n
    from generate_series(1, 99) n`
  await makeKey(holder)
  const { status, body } = await system().request("POST", "/v1/keys", {
    ...holder,
    body: { name: "one more" },
  })
  expect([status, body.code]).toEqual([422, "validation_failed"])
  expect(body.detail).toContain("100 keys")
})

test("the list is newest first, and its pages have each key once", async () => {
  const holder = await system().register()
  const made = []
  for (let i = 0; i < 5; i++) made.push((await makeKey(holder, { name: `key ${i}` })).id)
  const seen: string[] = []
  let cursor: string | null = ""
  while (cursor !== null) {
    const path = `/v1/keys?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`
    const { body } = await system().request("GET", path, holder)
    seen.push(...body.items.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(seen).toEqual(made.toReversed())
})
