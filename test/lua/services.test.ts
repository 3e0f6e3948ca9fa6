import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { randomChars } from "../../src/ids.ts"
import { keyed } from "../support/batches.ts"
import { type Gateway, type Scripts, startScripts } from "../support/scripts.ts"
import { expectBooks } from "./books.ts"

/** A service key charges on behalf of accounts, until the version of all service keys is raised. */
let scripts: Scripts
let gateway: Gateway
beforeAll(async () => {
  scripts = await startScripts()
  gateway = await scripts.gateway()
})
afterEach(() => expectBooks(scripts))
afterAll(() => scripts.stop())

async function raise(version: number, args = ["1", "1"]) {
  const { status } = await scripts.run("raiseServices", {
    keys: ["{p0}:meta"],
    args: [...args, String(version)],
  })
  return status
}

describe("raise_services", () => {
  test("raises the version, never lowers it, and touches nothing else of meta", async () => {
    const before = await scripts.meta()
    for (const [version, services] of [
      [before.services, before.services],
      [before.services + 4, before.services + 4],
      [before.services + 3, before.services + 4],
      [0, before.services + 4],
      [4_294_967_295, 4_294_967_295],
      [1, 4_294_967_295],
    ] as const) {
      expect(await raise(version)).toBe("raised")
      expect(await scripts.meta()).toEqual({ ...before, services })
    }
    await scripts.writeMeta({ services: 1 })
  })

  test("refuses another generation, another number of partitions, and a Redis without meta", async () => {
    const before = await scripts.meta()
    expect(await raise(9, ["2", "1"])).toBe("fenced")
    expect(await raise(9, ["1", "2"])).toBe("fenced")
    await scripts.redis.rename("{p0}:meta", "kept")
    expect(await raise(9)).toBe("fenced")
    await scripts.redis.rename("kept", "{p0}:meta")
    expect(await scripts.meta()).toEqual(before)
  })
})

describe("a charge or hold by service key", () => {
  test("passes under the version of now alone, older and newer ones do not", async () => {
    await raise(5)
    const accountId = await scripts.put({ balanceFen: 100 })
    const items = [4, 5, 6].flatMap((servicesVersion) => [
      { accountId, servicesVersion },
      { verb: "hold", accountId, servicesVersion } as const,
    ])
    const sent = await gateway.send(items)
    expect(sent.bytes).toEqual([6, 6, 0, 0, 6, 6])
    expect<object[]>(sent.outcomes.slice(0, 2)).toEqual([
      { status: "service_changed", rate: null },
      { status: "service_changed", rate: null },
    ])
    await raise(6)
    expect((await gateway.send(items)).bytes).toEqual([6, 6, 6, 6, 0, 0])
  })

  test("needs no auth version where it names an account, and the right one where it names a key", async () => {
    const { services: servicesVersion } = await scripts.meta()
    const accountId = await scripts.put({ balanceFen: 100, authVersion: 7 })
    const sent = await gateway.send([
      { accountId, servicesVersion, authVersion: null },
      { accountId, servicesVersion, authVersion: 7 },
      { accountId, servicesVersion, authVersion: 6 },
      { accountId, servicesVersion: 99, authVersion: 6 },
      { accountId, servicesVersion: 99, authVersion: null },
    ])
    expect(sent.bytes).toEqual([0, 0, 4, 4, 6])
    expect(sent.outcomes[2]).toMatchObject({ status: "auth_changed", authVersion: 7 })
  })

  test("is refused on an account that is barred or unknown, before its own version is asked", async () => {
    const by = { servicesVersion: 99, authVersion: null }
    const frozen = await scripts.put({ balanceFen: 9, status: "frozen" })
    const closed = await scripts.put({ balanceFen: 9, status: "closed" })
    const unknown = await scripts.put()
    await scripts.redis.del(`{p0}:1:a:${unknown.slice(5)}`)
    const accounts = [unknown, frozen, closed]
    const sent = await gateway.send(accounts.map((accountId) => ({ accountId, ...by })))
    expect(sent.bytes).toEqual([1, 2, 3])
  })

  test("is refused before its key is looked up: a dead service key gets no replay", async () => {
    const { services: servicesVersion } = await scripts.meta()
    const accountId = await scripts.put({ balanceFen: 100 })
    const charge = { accountId, servicesVersion, idempotency: keyed(randomChars(16)) }
    await gateway.send([charge])
    expect((await gateway.send([charge])).bytes).toEqual([7])
    await raise(servicesVersion + 1)
    expect((await gateway.send([charge])).bytes).toEqual([6])
  })
})

test("an item without auth version is not compared with any, of a charge or of a hold", async () => {
  const accountId = await scripts.put({ balanceFen: 100, authVersion: 3 })
  const items = [{ accountId, authVersion: null }, { accountId }]
  expect((await gateway.send(items)).bytes).toEqual([0, 4])
  const holds = items.map((item) => ({ verb: "hold", ...item }) as const)
  expect((await gateway.send(holds)).bytes).toEqual([0, 4])
})
