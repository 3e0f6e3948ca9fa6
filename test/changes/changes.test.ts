import { expect, test } from "bun:test"
import { chargeId, parseAccountId } from "../../src/ids.ts"
import { chargeDetails } from "../../src/ledger/records.ts"
import { fen } from "../../src/money.ts"
import { chargeOf } from "../support/details.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem()

/** An account with a redemption of 10 CNY and then `charges` charges of 1 fen, all flushed. */
async function withHistory({ charges }: { charges: number }) {
  const { token, accountId: id } = await system().register()
  const accountId = parseAccountId(id)
  await system().request("POST", "/v1/redemptions", { token, body: { code: "XUNAN666" } })
  for (let i = 0; i < charges; i++) {
    const details = chargeDetails({
      keyId: i % 2 === 0 ? "key_even" : "key_odd",
      interface: i % 3 === 0 ? "user.login" : "email.send",
      quantity: 1,
      requestId: `req_${i}`,
      description: i === 0 ? "the first" : "",
    })
    const charge = chargeOf({ accountId, amountFen: fen(1), details })
    const outcome = await system().ledger.charge(charge)
    expect(outcome.status).toBe("accepted")
  }
  const read = async (query = "") =>
    (await system().request("GET", `/v1/changes${query}`, { token })).body
  await eventually(async () => expect((await read("?limit=200")).items).toHaveLength(charges + 1))
  return { token, accountId, read }
}

test("a charge is shown with every field of the contract", async () => {
  const { accountId, read } = await withHistory({ charges: 1 })
  const { items } = await read()
  const { at } = items[0]
  expect(items[0]).toEqual({
    seq: 2,
    type: 2,
    kind: "charge",
    amountFen: 1,
    amount: "0.01",
    balanceBeforeFen: 1000,
    balanceBefore: "10.00",
    balanceAfterFen: 999,
    balanceAfter: "9.99",
    description: "the first",
    at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    interface: "user.login",
    quantity: 1,
    keyId: "key_even",
    chargeId: chargeId({ accountId, seq: 2, at: new Date(at) }),
    requestId: "req_0",
  })
  const [view] = await system().sql`
    select charge_id from reporting.change_records where account_id = ${accountId} and seq = 2`
  expect(view?.charge_id).toBe(items[0].chargeId)
})

test("the log is newest first, without a gap over its pages", async () => {
  const { read } = await withHistory({ charges: 12 })
  const seqs: number[] = []
  let cursor: string | null = ""
  while (cursor !== null) {
    const page = await read(`?limit=5${cursor === "" ? "" : `&cursor=${cursor}`}`)
    seqs.push(...page.items.map(({ seq }: { seq: number }) => seq))
    cursor = page.nextCursor
  }
  expect(seqs).toEqual([13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
})

test("each filter takes what it names, and together they narrow", async () => {
  const { read } = await withHistory({ charges: 6 })
  const seqsOf = async (query: string) =>
    (await read(query)).items.map(({ seq }: { seq: number }) => seq)
  expect(await seqsOf("?type=1")).toEqual([1])
  expect(await seqsOf("?type=2&limit=2")).toEqual([7, 6])
  expect(await seqsOf("?kind=redemption")).toEqual([1])
  expect(await seqsOf("?kind=refund")).toEqual([])
  expect(await seqsOf("?interface=user.login")).toEqual([5, 2])
  expect(await seqsOf("?keyId=key_odd")).toEqual([7, 5, 3])
  expect(await seqsOf("?keyId=key_odd&interface=user.login&type=2&kind=charge")).toEqual([5])
})

test("from is included and to is not, as days or as times with a zone", async () => {
  const { read } = await withHistory({ charges: 3 })
  const { items } = await read()
  const at = items[1].at
  const known = items.filter((item: { at: string }) => item.at >= at).length
  expect((await read(`?from=${at}`)).items).toHaveLength(known)
  expect((await read(`?to=${at}`)).items).toHaveLength(items.length - known)
  const zoned = new Date(Date.parse(at) + 8 * 3_600_000).toISOString().replace("Z", "%2B08:00")
  expect((await read(`?from=${zoned}`)).items).toHaveLength(known)
  expect((await read("?from=2020-01-01&to=2020-12-31")).items).toEqual([])
  expect((await read("?from=2020-01-01")).items).toHaveLength(4)
})

test("422: filters that name nothing that there is", async () => {
  const { token } = await system().register()
  const wrong = [
    "type=3",
    "type=01",
    "kind=gift",
    "from=yesterday",
    "from=2026-02-30",
    "to=2026-13-01",
    "from=2026-05-15T08:00:00",
    "interface=",
    "interface=%00",
    "keyId=",
    "account=x",
  ]
  for (const query of wrong) {
    const { status, body } = await system().request("GET", `/v1/changes?${query}`, { token })
    expect([query, status, body.code]).toEqual([query, 422, "validation_failed"])
  }
})

test("nobody sees another account's log", async () => {
  await withHistory({ charges: 1 })
  const { token } = await system().register()
  expect((await system().request("GET", "/v1/changes", { token })).body.items).toEqual([])
})

test("a page is read from the end of the primary key, without a sort", async () => {
  const { accountId } = await withHistory({ charges: 1 })
  await system()
    .sql`select ensure_month(now() - interval '1 month'), ensure_month(now() + interval '2 months')`
  const plan = await system().sql.begin(async (sql) => {
    await sql`set local enable_seqscan = off`
    return await sql`
      explain select * from change_records where account_id = ${accountId} and seq < 100
      order by seq desc limit 51`
  })
  const text = plan.map((row) => row["QUERY PLAN"]).join("\n")
  expect(text).toContain("Index Scan Backward using change_records_")
  expect(text).toContain("Index Cond: ((account_id =")
  expect(text).not.toContain("Sort  ")
})
