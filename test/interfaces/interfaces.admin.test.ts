import { expect, test } from "bun:test"
import { readConfig } from "../../src/config.ts"
import { startGateway } from "../../src/gateway/process.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { createRequest, useSystem } from "../support/system.ts"

const system = useSystem()
const PATH = "/v1/admin/interfaces"

let token: string | undefined

async function admin(method: string, path: string, body?: unknown) {
  token ??= await system().adminToken()
  return system().request(method, path, { token, body, headers: { "x-request-id": "act-1" } })
}

const lastAct = async () => (await admin("GET", "/v1/admin/audit?limit=1")).body.items[0]

let made = 0
const given = (fields: Record<string, unknown> = {}) => ({
  ...{ id: `made.n${++made}`, name: "Made", method: "GET", path: `/api/made/${made}`, priceFen: 3 },
  ...fields,
})

test("201: an interface with what it was given and what it was not, and its audit entry", async () => {
  const body = given({ id: "image.resize", path: "/api/images/{id}", method: "POST" })
  const answer = await admin("POST", PATH, { ...body, upstreamUrl: "https://Example.com:443/v2/" })
  const expected = {
    ...body,
    ...{ priceFen: 3, price: "0.03", chargeOn: "2xx", upstreamUrl: "https://example.com/v2" },
    ...{ timeoutMs: 30_000, bodyBytesMax: 1_073_741_824 },
  }
  expect([answer.status, answer.body]).toEqual([201, expected])
  expect((await admin("GET", `${PATH}/image.resize`)).body).toEqual(expected)
  const { id: _, price: __, ...details } = expected
  expect(await lastAct()).toMatchObject({
    ...{ action: "interface.created", target: "image.resize", requestId: "act-1", details },
    actor: expect.stringMatching(/^acct_/),
  })
})

test("200: a change keeps what it does not name, and takes an upstream away with null", async () => {
  const { id } = (await admin("POST", PATH, given({ upstreamUrl: "http://127.0.0.1:1" }))).body
  const change = { chargeOn: "200,404", timeoutMs: 100, bodyBytesMax: 0, priceFen: 9 }
  const changed = await admin("PATCH", `${PATH}/${id}`, change)
  expect([changed.status, changed.body]).toEqual([
    200,
    expect.objectContaining({ ...change, name: "Made", upstreamUrl: "http://127.0.0.1:1" }),
  ])
  expect(await lastAct()).toMatchObject({
    ...{ action: "interface.changed", target: id, details: change },
  })
  const without = await admin("PATCH", `${PATH}/${id}`, { upstreamUrl: null, path: "/other/*" })
  expect(without.body).toMatchObject({ ...change, upstreamUrl: null, path: "/other/*" })
})

test("204: what is deleted is gone, is not charged any more, and is audited", async () => {
  const { id } = (await admin("POST", PATH, given())).body
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  expect((await developer.charge({ interface: id })).body.amountFen).toBe(3)
  expect((await admin("DELETE", `${PATH}/${id}`)).status).toBe(204)
  expect(await lastAct()).toMatchObject({ action: "interface.deleted", target: id })
  expect((await developer.charge({ interface: id })).body.code).toBe("unknown_interface")
  for (const [method, body] of [["GET"], ["PATCH", { priceFen: 1 }], ["DELETE"]] as const) {
    expect((await admin(method, `${PATH}/${id}`, body)).status).toBe(404)
    expect((await admin(method, `${PATH}/No_Id!`, body)).status).toBe(404)
  }
})

test("422: names, methods, paths, prices, rules and upstreams that cannot be", async () => {
  const before = await lastAct()
  const wrong: [string, Record<string, unknown>][] = [
    ...["", "A", "a b", "a..b", ".a", "1a", "a/b", "x".repeat(65), "custom", "unknown"].map(
      (id): [string, Record<string, unknown>] => ["/id", { id }],
    ),
    ...["TRACE", "CONNECT", "get", "", "GET POST"].map(
      (method): [string, Record<string, unknown>] => ["/method", { method }],
    ),
    ...["", "api/x", "/a//b", "/a/./b", "/a/../b", "/a b", "/a?b", "/a#b", "/%61", "/a/*/b"].map(
      (path): [string, Record<string, unknown>] => ["/path", { path }],
    ),
    ...["/a/*/", "/{a b}", "/x{a}", "/a;b", "/ä", "/a\\b", "/{}"].map(
      (path): [string, Record<string, unknown>] => ["/path", { path }],
    ),
    ...[0, -1, 1.5, "1", null].map((priceFen): [string, Record<string, unknown>] => [
      "/priceFen",
      { priceFen },
    ]),
    ...["", "3xx", "200,", "99", "600", "200 201", "always,200"].map(
      (chargeOn): [string, Record<string, unknown>] => ["/chargeOn", { chargeOn }],
    ),
    ...["", "x", "ftp://x", "file:///etc/passwd", "http://", "http://u:p@x", "http://u@x"].map(
      (upstreamUrl): [string, Record<string, unknown>] => ["/upstreamUrl", { upstreamUrl }],
    ),
    ...["http://x/?a=1", "http://x/#a", "http://x?", "unix:/x"].map(
      (upstreamUrl): [string, Record<string, unknown>] => ["/upstreamUrl", { upstreamUrl }],
    ),
    ...[99, 600_001, 1.5].map((timeoutMs): [string, Record<string, unknown>] => [
      "/timeoutMs",
      { timeoutMs },
    ]),
    ...[-1, 2 ** 40].map((bodyBytesMax): [string, Record<string, unknown>] => [
      "/bodyBytesMax",
      { bodyBytesMax },
    ]),
    ["/name", { name: "" }],
    ["/price", { price: 1 }],
  ]
  const { id } = (await admin("POST", PATH, given())).body
  for (const [path, fields] of wrong) {
    const added = await admin("POST", PATH, given(fields))
    const told = [added.status, added.body.code, added.body.errors?.[0]?.path]
    expect([fields, ...told]).toEqual([fields, 422, "validation_failed", path])
    const changed = await admin("PATCH", `${PATH}/${id}`, fields)
    expect([fields, changed.status]).toEqual([fields, 422])
  }
  expect((await admin("PATCH", `${PATH}/${id}`, {})).status).toBe(422)
  const after = (await admin("GET", "/v1/admin/audit?limit=2")).body.items
  expect(after.map((entry: { id: string }) => entry.id)).toContain(before.id)
})

test("422: what another interface has already, however it is spelled", async () => {
  const { id } = (await admin("POST", PATH, given({ path: "/api/Taken/{id}/it" }))).body
  const same = await admin("POST", PATH, given({ id, path: "/api/elsewhere" }))
  expect([same.status, same.body.errors[0].path]).toEqual([422, "/id"])
  const other = (await admin("POST", PATH, given())).body.id
  for (const path of ["/api/Taken/{id}/it", "/api/taken/:name/it", "/api/TAKEN/{x}/it/"]) {
    const added = await admin("POST", PATH, given({ path }))
    expect([path, added.status, added.body.errors[0].path]).toEqual([path, 422, "/path"])
    expect(added.body.detail).toContain(id)
    expect((await admin("PATCH", `${PATH}/${other}`, { path })).status).toBe(422)
  }
  expect((await admin("POST", PATH, given({ path: "/api/taken/x/it" }))).status).toBe(201)
  expect(
    (await admin("POST", PATH, given({ path: "/api/taken/{id}/it", method: "PUT" }))).status,
  ).toBe(201)
  // Its own path is not taken by itself.
  expect((await admin("PATCH", `${PATH}/${id}`, { path: "/api/taken/{it}/it" })).status).toBe(200)
})

test("200: the list has each interface once over its pages, by id", async () => {
  const ids: string[] = []
  let cursor: string | null = ""
  while (cursor !== null) {
    const page = cursor === "" ? "" : `&cursor=${cursor}`
    const { body } = await admin("GET", `${PATH}?limit=7${page}`)
    ids.push(...body.items.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(ids).toEqual([...new Set(ids)])
  expect(ids).toEqual(expect.arrayContaining(["account.get", "vip.get", "image.resize"]))
  expect((await admin("GET", `${PATH}?cursor=!`)).status).toBe(422)
})

test("the open price list names no upstream, and no more than the contract does", async () => {
  await admin("POST", PATH, given({ id: "open.one", upstreamUrl: "http://internal.example" }))
  const { body } = await system().request("GET", "/v1/interfaces")
  expect(JSON.stringify(body)).not.toContain("internal.example")
  const one = body.items.find(({ id }: { id: string }) => id === "open.one")
  expect(Object.keys(one).toSorted()).toEqual([
    "chargeOn",
    "id",
    "method",
    "name",
    "path",
    "price",
    "priceFen",
  ])
})

test("a change in Postgres alone is known soon: it notifies, and what is unknown is looked up", async () => {
  const { sql } = system()
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  // Nobody notifies: the first call that names it makes the gateway look.
  await sql`insert into interfaces (id, name, method, path, price_fen) values ('quiet.one', 'Quiet', 'GET', '/api/quiet', 2)`
  await eventually(
    async () => {
      expect((await developer.charge({ interface: "quiet.one" })).body.amountFen).toBe(2)
    },
    { timeoutMs: 2_000 },
  )
  await sql`
    with changed as (update interfaces set price_fen = 5 where id = 'quiet.one' returning id)
    select pg_notify('fengate_interfaces', id) from changed
  `
  await eventually(
    async () => {
      expect((await developer.charge({ interface: "quiet.one" })).body.amountFen).toBe(5)
    },
    { timeoutMs: 2_000 },
  )
})

test("a change at one gateway is known at another at once", async () => {
  const { stores } = system()
  const another = await startGateway(
    { ...readConfig({}), port: 0, dataDir: stores.dataDir },
    stores,
    { log: () => undefined },
  )
  const request = createRequest(another.url)
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const { id } = (await admin("POST", PATH, given())).body
  const chargeThere = async () => {
    const body = { interface: id }
    return (await request("POST", "/v1/charges", { token: developer.key, body })).body
  }
  expect((await chargeThere()).amountFen).toBe(3)
  await admin("PATCH", `${PATH}/${id}`, { priceFen: 4 })
  // Long before it would read the list anew by itself.
  await eventually(async () => expect((await chargeThere()).amountFen).toBe(4), {
    timeoutMs: 2_500,
  })
  await another.stop()
})
