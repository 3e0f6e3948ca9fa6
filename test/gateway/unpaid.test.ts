import { describe, expect, test } from "bun:test"
import { createUnpaid, type UnpaidCount } from "../../src/gateway/unpaid.ts"
import { UNPAID_COUNTS_MAX } from "../../src/limits.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { startSystem, useSystem } from "../support/system.ts"
import { limitedDeveloper, newServiceKey } from "./calls.ts"

/** Calls that cost nothing: counted by account, key, interface and hour. */

const HOUR_MS = 3_600_000
const payer = { accountId: "acct_1", keyId: "key_1" }
const CALL = { payer, interface: "a" }

function createCounts() {
  const written: UnpaidCount[][] = []
  const log: string[] = []
  let isAway = false
  const unpaid = createUnpaid({
    addUnpaid: (counts) => {
      if (isAway) return Promise.reject(new Error("away"))
      written.push(counts.map((count) => ({ ...count })))
      return Promise.resolve()
    },
    log: (line) => void log.push(line),
  })
  return { unpaid, written, log, setAway: (value: boolean) => void (isAway = value) }
}

describe("in memory", () => {
  test("counts are summed by key and interface, and written at the latest when it stops", async () => {
    const { unpaid, written } = createCounts()
    unpaid.refused(CALL)
    unpaid.refused(CALL)
    unpaid.failed(CALL)
    unpaid.failed({ ...CALL, interface: "b" })
    await unpaid.stop()
    const hourMs = Date.now() - (Date.now() % HOUR_MS)
    expect(written).toEqual([
      [
        { ...payer, interface: "a", hourMs, refused: 2, failed: 1 },
        { ...payer, interface: "b", hourMs, refused: 0, failed: 1 },
      ],
    ])
  })

  test("what could not be written is written with what came since", async () => {
    const { unpaid, written, log, setAway } = createCounts()
    setAway(true)
    unpaid.refused(CALL)
    await eventually(() => log.length > 0)
    expect(log[0]).toContain("away")
    unpaid.refused(CALL)
    setAway(false)
    await eventually(() => written.length > 0)
    expect(written[0]).toMatchObject([{ refused: 2 }])
    await unpaid.stop()
    expect(written).toHaveLength(1)
  })

  test("what waits is bounded, and said once to be", async () => {
    const { unpaid, written, log } = createCounts()
    for (let kind = 0; kind < UNPAID_COUNTS_MAX + 100; kind++) {
      unpaid.refused({ ...CALL, interface: String(kind) })
    }
    unpaid.refused({ ...CALL, interface: "0" })
    await unpaid.stop()
    expect(written[0]).toHaveLength(UNPAID_COUNTS_MAX)
    expect(written[0]?.[0]?.refused).toBe(2)
    expect(log).toHaveLength(1)
  })
})

describe("at a gateway", () => {
  const system = useSystem()

  async function countsOf({ accountId }: { accountId: string }) {
    return [
      ...(await system().sql`
        select key_id as "keyId", interface, refused::integer, failed::integer from usage_unpaid
        where account_id = ${accountId} order by key_id, interface
      `),
    ].map((row) => ({ ...row }))
  }

  test("every refusal of a call is counted for its key and interface, and no paid call is", async () => {
    const developer = await limitedDeveloper(system(), { balanceFen: 3, interfaces: ["vip.get"] })
    const { charge, limitedKey, limitedKeyId, keyId } = developer
    const items = [{ interface: "user.login", quantity: 9 }, { interface: "vip.get" }]
    await charge()
    await charge({ quantity: 5 })
    await charge({ quantity: 6 })
    await charge({ interface: "no.such" })
    await charge({}, limitedKey)
    await charge({ quantity: 0 })
    await charge({ amountFen: 1 })
    const { request } = system()
    await request("POST", "/v1/charges/batch", { token: developer.key, body: { items } })
    await request("POST", "/v1/holds", { token: developer.key, body: { amountFen: 9 } })

    const expected = [
      { keyId, interface: "custom", refused: 1, failed: 0 },
      { keyId, interface: "unknown", refused: 1, failed: 0 },
      { keyId, interface: "user.login", refused: 3, failed: 0 },
      { keyId: limitedKeyId, interface: "user.login", refused: 1, failed: 0 },
    ].toSorted((a, b) => (a.keyId + a.interface < b.keyId + b.interface ? -1 : 1))
    await eventually(async () => expect(await countsOf(developer)).toEqual(expected))
  })

  test("what a service key asked for an account is counted for that account", async () => {
    const { accountId } = await newDeveloper(system())
    const service = await newServiceKey(system())
    const body = { accountId, interface: "user.login" }
    await system().request("POST", "/v1/charges", { token: service.key, body })
    await eventually(async () => {
      const counted = { keyId: service.id, interface: "user.login", refused: 1, failed: 0 }
      expect(await countsOf({ accountId })).toEqual([counted])
    })
  })
})

test("calls that billing could not decide are counted as failed, and all is written at a stop", async () => {
  const system = await startSystem()
  const developer = await newDeveloper(system, { balanceFen: 5 })
  expect((await developer.charge()).status).toBe(200)
  await system.stores.killRedis()
  for (let call = 0; call < 3; call++) expect((await developer.charge()).status).toBe(503)
  await eventually(async () => {
    const [row] = await system.sql`
      select refused::integer, failed::integer from usage_unpaid
      where account_id = ${developer.accountId}
    `
    expect({ ...row }).toEqual({ refused: 0, failed: 3 })
  })
  await system.stores.restartRedis()
  await system.stop()
}, 60_000)
