import { expect, test } from "bun:test"
import { createInterfaces, type InterfaceRow } from "../../src/gateway/interfaces.ts"
import { fen } from "../../src/money.ts"
import { eventually } from "../support/eventually.ts"

const row = (fields: Partial<InterfaceRow> = {}): InterfaceRow => ({
  ...{ id: "a.b", method: "GET", path: "/api/a", priceFen: "7", chargeOn: "2xx" },
  ...{ upstreamUrl: null, timeoutMs: 100, bodyBytesMax: "5" },
  ...fields,
})

/** A list whose readings answer what a test says, and only when it says so. */
async function startInterfaces() {
  let rows: InterfaceRow[] | Error = [row()]
  let readings = 0
  let gate = Promise.resolve()
  let change: () => void = () => undefined
  const log: string[] = []
  const interfaces = await createInterfaces({
    async loadInterfaces() {
      readings++
      const answer = rows
      await gate
      if (answer instanceof Error) throw answer
      return answer
    },
    listen: async (onChange) => {
      change = onChange
      return async () => void log.push("unlistened")
    },
    log: (line) => void log.push(line),
  })
  return {
    ...{ interfaces, log, notify: () => change(), readings: () => readings },
    say: (next: InterfaceRow[] | Error) => void (rows = next),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return resolve
    },
  }
}

test("a change that is told while the list is being read is read after it", async () => {
  const { interfaces, notify, say, hold, readings } = await startInterfaces()
  const release = hold()
  const first = interfaces.refresh()
  say([row({ priceFen: "8" })])
  // Many changes at once are one more reading.
  for (let told = 0; told < 10; told++) notify()
  const last = interfaces.refresh()
  release()
  await first
  expect(interfaces.priceOf("a.b")).toBe(fen(7))
  await last
  expect(interfaces.priceOf("a.b")).toBe(fen(8))
  expect(readings()).toBe(3)
  await interfaces.stop()
})

test("what is unknown makes one reading for all who ask, and none so soon after the last", async () => {
  const { interfaces, say, readings } = await startInterfaces()
  await eventually(async () => {
    await interfaces.lookAgain()
    return readings() > 1
  })
  const before = readings()
  say([row(), row({ id: "c.d", path: "/api/c" })])
  await Promise.all(Array.from({ length: 50 }, () => interfaces.lookAgain()))
  expect([readings(), interfaces.find("c.d")]).toEqual([before, null])
  await eventually(async () => {
    await Promise.all(Array.from({ length: 50 }, () => interfaces.lookAgain()))
    return interfaces.find("c.d") !== null
  })
  expect(readings()).toBe(before + 1)
  await interfaces.stop()
})

test("where the list cannot be read, what is known stays, and the operator hears of it", async () => {
  const { interfaces, say, log } = await startInterfaces()
  say(new Error("away"))
  await interfaces.refresh()
  expect(interfaces.priceOf("a.b")).toBe(fen(7))
  expect(log).toEqual(["the interfaces could not be read anew: away"])
  say([])
  await interfaces.refresh()
  expect(interfaces.priceOf("a.b")).toBeNull()
  await interfaces.stop()
  expect(log.at(-1)).toBe("unlistened")
})

test("a rule says which statuses are charged", async () => {
  const { interfaces, say } = await startInterfaces()
  const charged = async (chargeOn: string) => {
    say([row({ chargeOn })])
    await interfaces.refresh()
    const statuses = [100, 199, 200, 204, 299, 300, 304, 404, 500, 599]
    return statuses.filter((status) => interfaces.find("a.b")?.isCharged(status))
  }
  expect(await charged("2xx")).toEqual([200, 204, 299])
  expect(await charged("always")).toHaveLength(10)
  expect(await charged("404,200")).toEqual([200, 404])
  await interfaces.stop()
})
