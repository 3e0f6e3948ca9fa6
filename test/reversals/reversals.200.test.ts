import { expect, test } from "bun:test"
import { chargeId, parseAccountId } from "../../src/ids.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { newDeveloper } from "../support/developer.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"
import { reversalsOf } from "./reversals.ts"

const system = useSystem()
const { makeService, reverse } = reversalsOf(system)

test("a charge is given back in full, spendable in the moment of the answer", async () => {
  const service = await makeService()
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const charged = (await developer.charge({ quantity: 40, description: "forty logins" })).body
  const { status, body, headers } = await reverse(charged.chargeId, { key: service.key })
  expect(status).toBe(200)
  expect(body).toEqual({
    seq: 3,
    type: 1,
    kind: "reversal",
    amountFen: 40,
    amount: "0.40",
    balanceBeforeFen: 60,
    balanceBefore: "0.60",
    balanceAfterFen: 100,
    balanceAfter: "1.00",
    description: "Reversal of forty logins",
    at: expect.any(String),
    sourceId: charged.chargeId,
  })
  expect(headers.get("idempotent-replayed")).toBeNull()
  const outcome = await system().ledger.readAccount(parseAccountId(developer.accountId))
  expect(outcome).toMatchObject({ account: { balanceFen: 100, seq: 3 } })
  expect((await developer.charge({ quantity: 100 })).status).toBe(200)
  await eventually(async () => {
    const { items } = (await developer.get("/v1/changes")).body
    expect(items.find(({ seq }: { seq: number }) => seq === 3)).toEqual(body)
  })
})

test("the record keeps who reversed it, and its instruction", async () => {
  const service = await makeService()
  const developer = await newDeveloper(system(), { balanceFen: 5 })
  const charged = (await developer.charge()).body
  await reverse(charged.chargeId, { key: service.key })
  const rows = await system().sql`
    select account_id, amount_fen, instruction, service_key_id, idempotency_digest
    from reversals where charge_id = ${charged.chargeId}`
  expect([...rows]).toEqual([
    {
      account_id: developer.accountId,
      amount_fen: "1",
      instruction: 3,
      service_key_id: service.id,
      idempotency_digest: null,
    },
  ])
})

test("what a capture took is given back too", async () => {
  const service = await makeService()
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const { ledger } = system()
  const accountId = parseAccountId(developer.accountId)
  const item = chargeOf({ accountId, amountFen: fen(70) })
  const held = await ledger.hold({ ...item, ttlMs: 60_000, isInternal: false })
  if (held.status !== "held") throw new Error(held.status)
  const { holdId } = held
  const captured = await ledger.capture({ holdId, amountFen: fen(30), idempotency: null })
  if (captured.status !== "accepted") throw new Error(captured.status)
  const id = chargeId({ accountId, seq: captured.seq, at: new Date(captured.atMs) })
  const { status, body } = await reverse(id, { key: service.key })
  expect([status, body.amountFen, body.balanceAfterFen]).toEqual([200, 30, 100])
})

test("with an Idempotency-Key the same request is answered again, and reversed once", async () => {
  const service = await makeService()
  const developer = await newDeveloper(system(), { balanceFen: 10 })
  const { chargeId: id } = (await developer.charge({ quantity: 10 })).body
  const sent = { key: service.key, headers: { "idempotency-key": "refund-1!" } }
  const answers = await Promise.all(Array.from({ length: 5 }, () => reverse(id, sent)))
  const [first] = answers
  for (const { status, body } of answers) expect([status, body]).toEqual([200, first?.body])
  const replayed = answers.map(({ headers }) => headers.get("idempotent-replayed"))
  expect(replayed.filter((header) => header === "true")).toHaveLength(4)
  expect((await developer.balance()).body.balanceFen).toBe(10)
  const other = await makeService()
  for (const wrong of [
    { ...sent, key: other.key },
    { ...sent, headers: { "idempotency-key": "refund-2" } },
    { key: service.key },
  ]) {
    expect((await reverse(id, wrong)).body.code).toBe("already_reversed")
  }
})

test("an empty object may be sent, or nothing", async () => {
  const { key } = await makeService()
  const developer = await newDeveloper(system(), { balanceFen: 10 })
  for (const body of [{}, undefined, ""]) {
    const charged = (await developer.charge()).body
    expect((await reverse(charged.chargeId, { key, body })).status).toBe(200)
  }
  expect((await developer.balance()).body.balanceFen).toBe(10)
})

test("many charges of one account at once are each given back once", async () => {
  const { key } = await makeService()
  const developer = await newDeveloper(system(), { balanceFen: 100 })
  const charges = await Promise.all(
    Array.from({ length: 10 }, (_, i) => developer.charge({ quantity: i + 1 })),
  )
  const answers = await Promise.all(
    charges.flatMap(({ body }) => [body, body]).map((body) => reverse(body.chargeId, { key })),
  )
  const statuses = answers.map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(10)
  expect(statuses.filter((status) => status === 409)).toHaveLength(10)
  expect((await developer.balance()).body.balanceFen).toBe(100)
})
