import { expect, test } from "bun:test"
import { loadServiceKey } from "../../db/queries/load-service-key.ts"
import { hashCredential, parseAccountId, readCredential } from "../../src/ids.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem({ trustedProxies: ["127.0.0.1"] })
const PATH = "/v1/admin/service-keys"

async function admin(method: string, path: string, body?: unknown) {
  return system().request(method, path, { token: await system().adminToken(), body })
}

async function makeKey(name = "backend") {
  const { status, body } = await admin("POST", PATH, { name })
  expect(status).toBe(201)
  return body
}

const loaded = (credential: string) => loadServiceKey(system().sql, hashCredential(credential))
const lastAct = async () => (await admin("GET", "/v1/admin/audit?limit=1")).body.items[0]

/** The version of the service keys, as Postgres and as Redis have it. */
async function versions() {
  const [row] = await system().sql<{ version: number }[]>`
    select services_version as version from ledger`
  const { accountId } = await system().register()
  const outcome = await system().ledger.readAccount(parseAccountId(accountId))
  return [row?.version, outcome.status === "found" ? outcome.servicesVersion : null]
}

test("201: a service key is shown once; what is kept is its hash", async () => {
  const before = await versions()
  const made = await makeKey("billing backend")
  expect(made).toEqual({
    id: expect.stringMatching(/^svc_[0-9a-z]{16}$/),
    name: "billing backend",
    key: expect.stringMatching(/^fs_[0-9a-z]{48}$/),
    enabled: true,
    createdAt: expect.any(String),
  })
  const { key, ...shown } = made
  expect(key.slice(3, 19)).toBe(shown.id.slice(4))
  expect(readCredential(key)?.prefix).toBe("fs")
  const { items } = (await admin("GET", PATH)).body
  expect(items[0]).toEqual(shown)
  const [row] = await system().sql`select * from service_keys where id = ${made.id}`
  expect(row?.key_hash).toBe(hashCredential(key))
  expect(JSON.stringify(row)).not.toContain(key)
  expect(await loaded(key)).toEqual({
    serviceKeyId: made.id,
    keyHash: hashCredential(key),
    isEnabled: true,
    servicesVersion: Number(before[0]),
  })
  expect(await versions()).toEqual(before)
})

test("200: disabling raises the version of the service keys, in Postgres and in Redis", async () => {
  const { id, key } = await makeKey()
  const version = Number((await versions())[0])
  const { status, body } = await admin("PATCH", `${PATH}/${id}`, { enabled: false })
  expect([status, body.enabled]).toEqual([200, false])
  expect(await versions()).toEqual([version + 1, version + 1])
  expect(await loaded(key)).toMatchObject({ isEnabled: false, servicesVersion: version + 1 })
  for (const change of [{ enabled: false }, { enabled: true }, { enabled: true }, { name: "b" }]) {
    expect((await admin("PATCH", `${PATH}/${id}`, change)).body).toMatchObject(change)
  }
  expect(await versions()).toEqual([version + 1, version + 1])
  expect(await loaded(key)).toMatchObject({ isEnabled: true })
})

test("204: deleting raises the version, and the key is gone", async () => {
  const { id, key } = await makeKey()
  const version = Number((await versions())[0])
  const { status, body } = await admin("DELETE", `${PATH}/${id}`)
  expect([status, body]).toEqual([204, ""])
  expect(await versions()).toEqual([version + 1, version + 1])
  expect(await loaded(key)).toBeNull()
  expect((await admin("DELETE", `${PATH}/${id}`)).status).toBe(404)
  expect((await admin("PATCH", `${PATH}/${id}`, { enabled: true })).status).toBe(404)
  expect(await versions()).toEqual([version + 1, version + 1])
})

test("each of many revocations at once raises the version once", async () => {
  const keys = await Promise.all(Array.from({ length: 6 }, () => makeKey()))
  const version = Number((await versions())[0])
  await Promise.all(
    keys.flatMap(({ id }, place) =>
      [0, 1].map(() =>
        place % 2 === 0
          ? admin("DELETE", `${PATH}/${id}`)
          : admin("PATCH", `${PATH}/${id}`, { enabled: false }),
      ),
    ),
  )
  expect(await versions()).toEqual([version + 6, version + 6])
})

test("every act is audited, without the key", async () => {
  const { id, key } = await makeKey("audited")
  const created = await lastAct()
  expect(created).toMatchObject({
    action: "service_key.created",
    target: id,
    details: { name: "audited" },
    actor: expect.stringMatching(/^acct_/),
    address: "127.0.0.1",
  })
  await admin("PATCH", `${PATH}/${id}`, { name: "other", enabled: false })
  expect(await lastAct()).toMatchObject({
    action: "service_key.changed",
    target: id,
    details: { name: "other", enabled: false },
  })
  await admin("DELETE", `${PATH}/${id}`)
  const deleted = await lastAct()
  expect(deleted).toMatchObject({ action: "service_key.deleted", target: id, details: {} })
  await admin("DELETE", `${PATH}/${id}`)
  expect(await lastAct()).toEqual(deleted)
  expect(JSON.stringify(created)).not.toContain(key)
})

test("200: the list is newest first, and its pages have each key once", async () => {
  const made: string[] = []
  for (let i = 0; i < 5; i++) made.push((await makeKey(`key ${i}`)).id)
  const seen: string[] = []
  let cursor: string | null = ""
  while (cursor !== null) {
    const path: string = `${PATH}?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`
    const { body } = await admin("GET", path)
    seen.push(...body.items.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(seen.slice(0, 5)).toEqual(made.toReversed())
  expect(new Set(seen).size).toBe(seen.length)
})

test("403: a developer neither sees nor makes service keys", async () => {
  const { id } = await makeKey()
  const { token } = await system().register()
  const body = { name: "mine" }
  for (const [method, path] of [
    ["GET", PATH],
    ["POST", PATH],
    ["PATCH", `${PATH}/${id}`],
    ["DELETE", `${PATH}/${id}`],
  ] as const) {
    const answer = await system().request(method, path, {
      token,
      ...(["POST", "PATCH"].includes(method) && { body }),
    })
    expect([method, answer.status, answer.body.code]).toEqual([method, 403, "not_allowed"])
  }
})

test("404: ids that no service key has", async () => {
  for (const id of ["svc_0000000000000000", "key_0000000000000000", "nonsense"]) {
    expect((await admin("PATCH", `${PATH}/${id}`, { name: "a" })).status).toBe(404)
    expect((await admin("DELETE", `${PATH}/${id}`)).status).toBe(404)
  }
})

test("422: names that are none, and a change of nothing", async () => {
  const { id } = await makeKey()
  for (const name of ["", "x".repeat(65), "a\u0000b", 5, null, undefined]) {
    expect([name, (await admin("POST", PATH, { name })).status]).toEqual([name, 422])
  }
  for (const change of [{}, { name: "" }, { enabled: "no" }, { enabled: null }, { key: "fs_" }]) {
    expect((await admin("PATCH", `${PATH}/${id}`, change)).status).toBe(422)
  }
})

test("401: a service key manages no account", async () => {
  const { key } = await makeKey()
  for (const path of ["/v1/account", "/v1/keys", PATH]) {
    const { status, body } = await system().request("GET", path, { token: key })
    expect([path, status, body.code]).toEqual([path, 401, "invalid_credential"])
  }
})
