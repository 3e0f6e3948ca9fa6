import { expect, test } from "bun:test"
import { parseAccountId } from "../../src/ids.ts"
import { eventually } from "../support/eventually.ts"
import { startSystem, useSystem } from "../support/system.ts"
import { insertCode, usedOf } from "./codes.ts"

const system = useSystem()

test("XUNAN666 is worth 10.00 CNY, spendable in the moment of the answer", async () => {
  const { token, accountId } = await system().register()
  const { status, body } = await system().request("POST", "/v1/redemptions", {
    token,
    body: { code: " xunan666 " },
  })
  expect(status).toBe(201)
  expect(body).toEqual({
    redemptionId: expect.stringMatching(/^rdm_[0-9a-z]{16}$/),
    amountFen: 1000,
    amount: "10.00",
    balanceFen: 1000,
    balance: "10.00",
    applied: true,
  })
  const outcome = await system().ledger.readAccount(parseAccountId(accountId))
  expect(outcome).toMatchObject({ status: "found", account: { balanceFen: 1000, instruction: 2 } })
})

test("a redemption is one change record, which names it", async () => {
  const { token } = await system().register()
  const code = await insertCode(system(), { amountFen: 205 })
  const { redemptionId } = (
    await system().request("POST", "/v1/redemptions", { token, body: { code } })
  ).body
  await eventually(async () => {
    const { items } = (await system().request("GET", "/v1/changes", { token })).body
    expect(items).toEqual([
      {
        seq: 1,
        type: 1,
        kind: "redemption",
        amountFen: 205,
        amount: "2.05",
        balanceBeforeFen: 0,
        balanceBefore: "0.00",
        balanceAfterFen: 205,
        balanceAfter: "2.05",
        description: `Redemption code ${code}`,
        at: expect.any(String),
        sourceId: redemptionId,
      },
    ])
  })
})

test("many accounts redeem one code, and one account many codes at once", async () => {
  const code = await insertCode(system(), { totalUses: 5 })
  const holders = await Promise.all(Array.from({ length: 5 }, () => system().register()))
  for (const { token } of holders) {
    expect(
      (await system().request("POST", "/v1/redemptions", { token, body: { code } })).status,
    ).toBe(201)
  }
  expect(await usedOf(system(), code)).toBe(5)
  const { token } = await system().register()
  const codes = await Promise.all(
    Array.from({ length: 10 }, () => insertCode(system(), { amountFen: 7 })),
  )
  const answers = await Promise.all(
    codes.map((each) =>
      system().request("POST", "/v1/redemptions", { token, body: { code: each } }),
    ),
  )
  expect(answers.map(({ status }) => status)).toEqual(codes.map(() => 201))
  expect(Math.max(...answers.map(({ body }) => body.balanceFen))).toBe(70)
})

test("a code is redeemable from its start to its end", async () => {
  const { token } = await system().register()
  const minute = 60_000
  const code = await insertCode(system(), {
    startsAt: new Date(Date.now() - minute),
    expiresAt: new Date(Date.now() + minute),
  })
  expect(
    (await system().request("POST", "/v1/redemptions", { token, body: { code } })).status,
  ).toBe(201)
})

test("with Redis away it is 201 with applied false, and the credit follows by itself", async () => {
  const local = await startSystem()
  const { request, register, stores, ledger } = local
  const { token, accountId } = await register()
  await stores.killRedis()
  const { status, body } = await request("POST", "/v1/redemptions", {
    token,
    body: { code: "XUNAN666" },
  })
  expect(status).toBe(201)
  expect(body).toMatchObject({ amountFen: 1000, balanceFen: 0, balance: "0.00", applied: false })
  const again = await request("POST", "/v1/redemptions", { token, body: { code: "XUNAN666" } })
  expect(again.body.code).toBe("already_redeemed")

  await stores.restartRedis()
  await eventually(async () => {
    const outcome = await ledger.readAccount(parseAccountId(accountId))
    expect(outcome).toMatchObject({ status: "found", account: { balanceFen: 1000 } })
  })
  await local.booksBalance()
  await local.stop()
}, 60_000)
