import { expect, test } from "bun:test"
import { loadKey } from "../../db/queries/load-key.ts"
import { hashCredential } from "../../src/ids.ts"
import { AMOUNT_FEN_MAX } from "../../src/money.ts"
import { useSystem } from "../support/system.ts"
import { keysOf, NO_LIMITS } from "./keys.ts"

const system = useSystem()
const { makeKey, patch, read, versions, limitsVersion } = keysOf(system)

const LATER = "2046-01-01T00:00:00.000Z"
const ALL = {
  dailyFen: 999,
  monthlyFen: 10_000,
  totalFen: AMOUNT_FEN_MAX,
  ratePerSecond: 1_000_000,
  allowedCidrs: ["203.0.113.0/24", "2001:db8::/32"],
  interfaces: ["user.login", "vip.get"],
  expiresAt: LATER,
}
const SHOWN = { ...ALL, daily: "9.99", monthly: "100.00", total: "900000000000.00" }

/** As a gateway loads it: amounts are Postgres's digits. */
async function loaded(credential: string) {
  return await loadKey(system().sql, hashCredential(credential))
}

test("201: a key with every limit shows them all, with their CNY", async () => {
  const holder = await system().register()
  const { id, key, limits } = await makeKey(holder, { limits: ALL })
  expect(limits).toEqual(SHOWN)
  expect((await read(holder, id)).limits).toEqual(SHOWN)
  const { items } = (await system().request("GET", "/v1/keys", holder)).body
  expect(items[0].limits).toEqual(SHOWN)
  expect(await loaded(key)).toEqual({
    keyId: id,
    accountId: holder.accountId,
    keyHash: hashCredential(key),
    isEnabled: true,
    authVersion: 1,
    limitsVersion: 0,
    dailyFen: "999",
    monthlyFen: "10000",
    totalFen: String(AMOUNT_FEN_MAX),
    ratePerSecond: 1_000_000,
    expiresAtMs: Date.parse(LATER),
    allowedCidrs: ALL.allowedCidrs,
    interfaces: ALL.interfaces,
  })
  expect(await versions(holder)).toEqual({ postgres: 1, redis: 1, instructions: 0 })
})

test("201: limits that are null, or not named, are none", async () => {
  const holder = await system().register()
  for (const limits of [undefined, {}, { dailyFen: null, interfaces: null, expiresAt: null }]) {
    expect((await makeKey(holder, { limits })).limits).toEqual(NO_LIMITS)
  }
})

test("200: a change sets what it names, removes what is null, and leaves the rest", async () => {
  const holder = await system().register()
  const { id, key } = await makeKey(holder, { limits: ALL })
  const change = { dailyFen: 5, totalFen: null, allowedCidrs: null, interfaces: ["vip.get"] }
  const { status, body } = await patch(holder, id, { limits: change })
  const expected = { ...SHOWN, ...change, daily: "0.05", total: null }
  expect([status, body.limits]).toEqual([200, expected])
  expect((await read(holder, id)).limits).toEqual(expected)
  expect(await loaded(key)).toMatchObject({ dailyFen: "5", totalFen: null, allowedCidrs: null })
  expect(body.name).toBe("first")
})

test("200: name, switch and limits change together, as one instruction", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const { body } = await patch(holder, id, {
    name: "second",
    enabled: false,
    limits: { ratePerSecond: 7 },
  })
  expect([body.name, body.enabled, body.limits.ratePerSecond]).toEqual(["second", false, 7])
  expect(await versions(holder)).toEqual({ postgres: 2, redis: 2, instructions: 1 })
})

test("200: each limit that changes raises the auth version; what is so already does not", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  let raised = 1
  for (const [name, value] of Object.entries(ALL)) {
    for (const limits of [{ [name]: value }, { [name]: value }]) {
      expect((await patch(holder, id, { limits })).body.limits).toMatchObject(limits)
    }
    raised += 1
    expect([name, await versions(holder)]).toEqual([
      name,
      { postgres: raised, redis: raised, instructions: raised - 1 },
    ])
  }
  expect((await read(holder, id)).limits).toEqual(SHOWN)
})

test("the counter's version is the auth version at which a key came to have a budget or a rate", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const steps: [object, number][] = [
    [{ allowedCidrs: ["10.0.0.0/8"], interfaces: ["vip.get"], expiresAt: LATER }, 0],
    [{ dailyFen: 10 }, 3],
    [{ dailyFen: 20 }, 3],
    [{ dailyFen: null, ratePerSecond: 5 }, 3],
    [{ ratePerSecond: null }, 3],
    [{ interfaces: null }, 3],
    [{ totalFen: 5 }, 8],
    [{ totalFen: 5 }, 8],
    [{ totalFen: null }, 8],
    [{ ratePerSecond: 5 }, 10],
  ]
  for (const [limits, version] of steps) {
    expect((await patch(holder, id, { limits })).status).toBe(200)
    expect([limits, await limitsVersion(id)]).toEqual([limits, version])
  }
})

test("a key made with a budget keeps version 0 until it has had none", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder, { limits: { dailyFen: 5 } })
  await patch(holder, id, { limits: { dailyFen: 6, monthlyFen: 7 } })
  expect(await limitsVersion(id)).toBe(0)
  await patch(holder, id, { limits: { dailyFen: null, monthlyFen: null } })
  expect(await limitsVersion(id)).toBe(0)
  await patch(holder, id, { limits: { monthlyFen: 7 } })
  expect(await limitsVersion(id)).toBe(4)
})

test("many changes at once of one key: none is lost, and each is one instruction", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder)
  const changes = Object.entries(ALL).map(([name, value]) => ({ limits: { [name]: value } }))
  const switches = [{ enabled: false }, { name: "second" }]
  const answers = await Promise.all(
    [...changes, ...switches].map((change) => patch(holder, id, change)),
  )
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  expect(await read(holder, id)).toMatchObject({ name: "second", enabled: false, limits: SHOWN })
  expect(await versions(holder)).toEqual({ postgres: 9, redis: 9, instructions: 8 })
})

test("CIDRs are shown without host bits, and addresses as blocks of one", async () => {
  const holder = await system().register()
  const given: [string, string][] = [
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["198.51.100.7", "198.51.100.7/32"],
    ["198.51.100.7/31", "198.51.100.6/31"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:DB8:0:0:1::1/64", "2001:db8::/64"],
    ["2001:db8::ffff/121", "2001:db8::ff80/121"],
    ["::1", "::1/128"],
    ["::/0", "::/0"],
    ["::ffff:192.0.2.1", "192.0.2.1/32"],
    ["::ffff:192.0.2.1/112", "192.0.0.0/16"],
    ["1:2:3:4:5:6:7:8/127", "1:2:3:4:5:6:7:8/127"],
  ]
  const { limits } = await makeKey(holder, {
    limits: { allowedCidrs: given.map(([text]) => text) },
  })
  expect(limits.allowedCidrs).toEqual(given.map(([, shown]) => shown))
  const twice = { allowedCidrs: ["10.0.0.1/8", "10.0.0.0/8"], interfaces: ["vip.get", "vip.get"] }
  expect((await makeKey(holder, { limits: twice })).limits).toMatchObject({
    allowedCidrs: ["10.0.0.0/8"],
    interfaces: ["vip.get"],
  })
})

test("422: limits that cannot be, on a new key and on a change, and then nothing changes", async () => {
  const holder = await system().register()
  const { id } = await makeKey(holder, { limits: { dailyFen: 5 } })
  const amounts = [0, -1, 0.5, "5", true, AMOUNT_FEN_MAX + 1, 1e300]
  const many = (count: number) => Array.from({ length: count }, (_, i) => `10.0.0.${i}`)
  const wrong = [
    ...["dailyFen", "monthlyFen", "totalFen"].flatMap((name) =>
      amounts.map((amount) => ({ [name]: amount })),
    ),
    ...[0, 1_000_001, 1.5, "7"].map((ratePerSecond) => ({ ratePerSecond })),
    ...[[], "10.0.0.0/8", ["10.0.0.0/33"], ["::/129"], ["10.0.0"], ["x"], ["fe80::1%eth0"]].map(
      (allowedCidrs) => ({ allowedCidrs }),
    ),
    ...[[""], ["10.0.0.0/8/8"], ["10.0.0.0/ 8"], ["10.0.0.0/08"], [5], [null], many(51)].map(
      (allowedCidrs) => ({ allowedCidrs }),
    ),
    ...[[], "vip.get", ["none"], ["vip.get", "'\"\\{},NULL"], [5], ["a\u0000b"]].map(
      (interfaces) => ({ interfaces }),
    ),
    { interfaces: Array.from({ length: 101 }, () => "vip.get") },
    ...["2020-01-01", "tomorrow", "2046-02-30", 5, new Date(Date.now() - 1_000).toISOString()].map(
      (expiresAt) => ({ expiresAt }),
    ),
    { hourlyFen: 5 },
    { daily: "0.05" },
  ]
  for (const limits of [...wrong, null, [], "none"]) {
    const body = { name: "a", limits }
    const created = await system().request("POST", "/v1/keys", { ...holder, body })
    expect([limits, created.status, created.body.code]).toEqual([limits, 422, "validation_failed"])
    const [violation] = created.body.errors
    expect(violation.path).toStartWith("/limits")
    const changed = await patch(holder, id, { limits })
    expect([limits, changed.status, changed.body.errors[0].path]).toEqual([
      limits,
      422,
      violation.path,
    ])
  }
  expect((await patch(holder, id, { limits: {} })).status).toBe(422)
  const { items } = (await system().request("GET", "/v1/keys", holder)).body
  expect(items).toHaveLength(1)
  expect(items[0].limits).toEqual({ ...NO_LIMITS, dailyFen: 5, daily: "0.05" })
  expect(await versions(holder)).toMatchObject({ postgres: 1 })
})

test("422: the refusal says which limit is wrong, and how it should be", async () => {
  const holder = await system().register()
  const sayings: [object, string, string][] = [
    [{ interfaces: ["vip.get", "nope"] }, "/limits/interfaces", 'There is no interface "nope".'],
    [{ allowedCidrs: ["::1", "x"] }, "/limits/allowedCidrs/1", "an address or a CIDR"],
    [{ expiresAt: "2020-01-01" }, "/limits/expiresAt", "Must be in the future."],
    [{ ratePerSecond: 0 }, "/limits/ratePerSecond", "calls per second, 1 to 1000000"],
    [{ dailyFen: 0 }, "/limits/dailyFen", "an amount in fen, 1 or more"],
  ]
  for (const [limits, path, saying] of sayings) {
    const body = { name: "a", limits }
    const { errors } = (await system().request("POST", "/v1/keys", { ...holder, body })).body
    expect([errors[0].path, errors[0].message]).toEqual([path, expect.stringContaining(saying)])
  }
})

test("404: somebody else's limits are not changed", async () => {
  const [owner, other] = [await system().register(), await system().register()]
  const { id } = await makeKey(owner, { limits: { dailyFen: 5 } })
  expect((await patch(other, id, { limits: { dailyFen: null } })).status).toBe(404)
  expect((await read(owner, id)).limits.dailyFen).toBe(5)
})
