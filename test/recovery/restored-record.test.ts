import { expect, setDefaultTimeout, test } from "bun:test"
import { eventually } from "../support/eventually.ts"
import { startSystem } from "../support/system.ts"
import { keepPostgres } from "./recovering.ts"

setDefaultTimeout(30_000)

test("nothing is changed in a Postgres that was restored before it is filled up; a code that was redeemed stays so", async () => {
  const system = await startSystem()
  const { request } = system
  const { token } = await system.register()
  const redeem = () => request("POST", "/v1/redemptions", { token, body: { code: "XUNAN666" } })
  await system.booksBalance()
  const restore = await keepPostgres(system)
  await eventually(async () => (await redeem()).status === 201)
  await system.booksBalance()
  await restore()
  const statuses = new Set<number>()
  const last = await eventually(async () => {
    const answer = await redeem()
    statuses.add(answer.status)
    return answer.status !== 503 && answer
  })
  expect(last && last.body).toMatchObject({ code: "already_redeemed" })
  expect([...statuses].filter((status) => status !== 503 && status !== 409)).toEqual([])
  const balance = await request("GET", "/v1/balance", { token })
  expect(balance.body).toMatchObject({ balanceFen: 1_000 })
  await system.booksBalance()
  await system.stop()
})
