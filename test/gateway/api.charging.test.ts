import { expect, test } from "bun:test"
import type { UpstreamCall } from "../support/upstream.ts"
import { problemOf, useApi } from "./api.ts"

const { system, upstream, offer, developer, call, balanceOf } = useApi()

/** An upstream that answers with the status in the path, and the cost in the query. */
async function offerStatuses(name: string, fields: Record<string, unknown>): Promise<void> {
  await offer(`/${name}/{status}`, fields)
  for (const status of [200, 201, 204, 301, 302, 304, 400, 402, 404, 429, 500, 503]) {
    upstream().on(`/${name}/${status}`, ({ query, reply }) => {
      const cost = query === "" ? [] : [`X-Cost-Fen: ${decodeURIComponent(query.slice(1))}`]
      reply({ status, headers: [...cost, "X-Charge-Id: forged", "X-Charge-Fen: 99"] })
    })
  }
}

test("by its rule an answer is charged by its status: 2xx, always, or a list", async () => {
  const rules = {
    "2xx": [200, 201, 204],
    always: [200, 201, 204, 301, 302, 304, 400, 402, 404, 429, 500, 503],
    "201,404,500": [201, 404, 500],
  }
  for (const [chargeOn, charged] of Object.entries(rules)) {
    const name = `rule-${chargeOn.split(",").length}-${charged.length}`
    await offerStatuses(name, { chargeOn, priceFen: 2 })
    const caller = await developer(100)
    for (const status of rules.always) {
      const answer = await call(caller, `/${name}/${status}`)
      const isCharged = charged.includes(status)
      expect([chargeOn, answer.status]).toEqual([chargeOn, status])
      expect([status, answer.headers.get("x-charge-fen")]).toEqual([status, isCharged ? "2" : null])
      expect(answer.headers.get("x-charge-id") ?? "chg_").toStartWith("chg_")
      await answer.arrayBuffer()
    }
    expect(await balanceOf(caller)).toEqual({
      balanceFen: 100 - 2 * charged.length,
      heldFen: 0,
      seq: 1 + charged.length,
    })
  }
})

test("X-Cost-Fen of the upstream is what is taken, up to the price; it is told to nobody", async () => {
  await offerStatuses("cost", { priceFen: 10 })
  const caller = await developer(100)
  const costs = async (said: string, status = 200) => {
    const answer = await call(caller, `/cost/${status}?${encodeURIComponent(said)}`)
    expect(answer.headers.get("x-cost-fen")).toBeNull()
    await answer.arrayBuffer()
    return answer.headers.get("x-charge-fen")
  }
  expect(await costs("4")).toBe("4")
  expect(await costs("10")).toBe("10")
  expect(await costs("0004")).toBe("4")
  expect(await costs("0")).toBeNull()
  expect(await costs("4", 404)).toBeNull()
  expect(await balanceOf(caller)).toEqual({ balanceFen: 82, heldFen: 0, seq: 4 })

  expect(await costs("11")).toBe("10")
  expect(await costs("9".repeat(30))).toBe("10")
  expect(await balanceOf(caller)).toEqual({ balanceFen: 62, heldFen: 0, seq: 6 })
  expect(system().log.join()).toContain("X-Cost-Fen is 11, and 10 were held")
})

test("502: a cost that is no amount is a failure of the upstream, and costs nothing", async () => {
  await offerStatuses("odd", { priceFen: 10 })
  const caller = await developer(100)
  for (const said of ["-1", "1.5", "1e1", "0x1", "ten", "1, 2", "1 2", "NaN", "9".repeat(31)]) {
    const answer = await call(caller, `/odd/200?${encodeURIComponent(said)}`)
    const { code, detail } = await problemOf(answer)
    expect([said, answer.status, code]).toEqual([said, 502, "upstream_failed"])
    expect(detail).toContain("no amount")
  }
  expect(await balanceOf(caller)).toEqual({ balanceFen: 100, heldFen: 0, seq: 1 })
})

test("a hundred calls at once on a balance for ten: ten reach the upstream and are paid", async () => {
  await offer("/rush")
  const all = Promise.withResolvers<void>()
  let reached = 0
  upstream().on("/rush", async ({ reply }) => {
    reached++
    await all.promise
    reply()
  })
  const caller = await developer(10)
  const calls = Array.from({ length: 100 }, () => call(caller, "/rush"))
  let refused = 0
  for (const each of calls)
    void each.then(({ status }) => ++refused === 90 && status && all.resolve())
  const answers = await Promise.all(calls)
  const statuses = answers.map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(10)
  expect(statuses.filter((status) => status === 402)).toHaveLength(90)
  expect(reached).toBe(10)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 0, heldFen: 0, seq: 11 })
})

test("what a call holds is not available meanwhile, and is again when it cost nothing", async () => {
  await offer("/held", { priceFen: 60 })
  const reached = Promise.withResolvers<UpstreamCall>()
  upstream().on("/held", reached.resolve)
  const caller = await developer(100)
  const slow = call(caller, "/held")
  const forwarded = await reached.promise
  const second = await call(caller, "/held")
  const { code, detail, availableFen, requiredFen } = await problemOf(second)
  expect([code, availableFen, requiredFen]).toEqual(["insufficient_balance", 40, 60])
  expect(detail).toContain("current balance: 0.40 CNY")
  expect(await balanceOf(caller)).toMatchObject({ balanceFen: 100, heldFen: 60 })
  forwarded.reply({ status: 404 })
  expect((await slow).status).toBe(404)
  expect(await balanceOf(caller)).toEqual({ balanceFen: 100, heldFen: 0, seq: 1 })
})
