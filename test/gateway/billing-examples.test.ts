import { expect, test } from "bun:test"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"

/** The three examples of PRODUCT's billing rules by their own numbers, and the whole first path. */

const system = useSystem()

test("a new account has 0.00 CNY, and its call is refused with the exact sentence", async () => {
  const developer = await newDeveloper(system())
  expect(await balanceOf(developer)).toEqual({ balance: "0.00", availableCalls: 0 })

  const { status, body } = await developer.charge()

  expect(status).toBe(402)
  expect(body).toMatchObject({
    code: "insufficient_balance",
    detail:
      "Insufficient developer balance, current balance: 0.00 CNY, please recharge and try again!",
    balanceFen: 0,
    availableFen: 0,
    requiredFen: 1,
  })
})

test("10.00 CNY is 1000 calls; after one call it is 9.99 and 999", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })
  expect(await balanceOf(developer)).toEqual({ balance: "10.00", availableCalls: 1_000 })

  const { status, body } = await developer.charge()

  expect(status).toBe(200)
  expect(body).toMatchObject({ amount: "0.01", balance: "9.99", availableCalls: 999 })
  expect(await balanceOf(developer)).toEqual({ balance: "9.99", availableCalls: 999 })
})

test("50.00 CNY after 100 calls is 49.00", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 5_000 })

  const answers = await Promise.all(Array.from({ length: 100 }, () => developer.charge()))

  expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(200))
  expect(await balanceOf(developer)).toEqual({ balance: "49.00", availableCalls: 4_900 })
})

test("5.00 CNY plus 10.00 is 15.00 and 1500 calls", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 500 })

  await developer.credit(1_000)

  expect(await balanceOf(developer)).toEqual({ balance: "15.00", availableCalls: 1_500 })
})

test("a paid call's change record is in Postgres within a second, with all that it must say", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })
  const { body: charge, headers } = await developer.charge({ description: "hello" })

  const record = await eventually(
    async () => {
      const [row] = await system().sql`
        select * from reporting.change_records where charge_id = ${charge.chargeId}
      `
      expect(row).toBeDefined()
      return { ...row }
    },
    { timeoutMs: 1_000 },
  )

  expect(record).toMatchObject({
    account_id: developer.accountId,
    seq: "2",
    type: 2,
    kind: "charge",
    amount_fen: "1",
    balance_before_fen: "1000",
    balance_after_fen: "999",
    description: "hello",
    interface: "user.login",
    quantity: 1,
    key_id: developer.keyId,
    request_id: headers.get("x-request-id"),
  })
  expect(record.at).toEqual(new Date(charge.at))
})

test("100 calls more leave 8.99, and the list of changes shows each of them", async () => {
  const developer = await newDeveloper(system(), { balanceFen: 1_000 })
  for (let call = 0; call < 101; call++) expect((await developer.charge()).status).toBe(200)
  expect(await balanceOf(developer)).toEqual({ balance: "8.99", availableCalls: 899 })

  const items = await eventually(async () => {
    const { body } = await developer.get("/v1/changes?limit=200")
    expect(body.items).toHaveLength(102)
    return body.items
  })

  expect(items[0]).toMatchObject({ seq: 102, type: 2, balanceAfter: "8.99", kind: "charge" })
  expect(items.at(-1)).toMatchObject({ seq: 1, type: 1, balanceAfter: "10.00", kind: "redemption" })
})

async function balanceOf(developer: Developer): Promise<unknown> {
  const { body } = await developer.balance()
  return { balance: body.balance, availableCalls: body.availableCalls }
}
