import { expect, test } from "bun:test"
import { AMOUNT_FEN_MAX } from "../../src/money.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem({ trustedProxies: ["127.0.0.1"] })
const PATH = "/v1/admin/redemption-codes"

async function admin(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  return system().request(method, path, { token: await system().adminToken(), body, headers })
}

const lastAct = async () => (await admin("GET", "/v1/admin/audit?limit=1")).body.items[0]

test("201: one code by name, in upper case, with all it was given", async () => {
  const given = {
    amountFen: 2500,
    code: "spring-26",
    totalUses: 3,
    startsAt: "2026-01-01",
    expiresAt: "2046-01-01T08:00:00+08:00",
    note: 'for "Mei", spring',
  }
  const { status, body } = await admin("POST", PATH, given)
  expect(status).toBe(201)
  expect(body.items).toEqual([
    {
      id: expect.stringMatching(/^code_[0-9a-z]{16}$/),
      code: "SPRING-26",
      amountFen: 2500,
      amount: "25.00",
      totalUses: 3,
      used: 0,
      startsAt: "2026-01-01T00:00:00.000Z",
      expiresAt: "2046-01-01T00:00:00.000Z",
      enabled: true,
      note: 'for "Mei", spring',
      createdAt: expect.any(String),
    },
  ])
  const { token } = await system().register()
  const redeemed = await system().request("POST", "/v1/redemptions", {
    token,
    body: { code: "Spring-26" },
  })
  expect(redeemed.body).toMatchObject({ amountFen: 2500, balanceFen: 2500 })
})

test("201: a thousand made-up codes, each another", async () => {
  const { status, body } = await admin("POST", PATH, { amountFen: 5, count: 1000 })
  expect(status).toBe(201)
  const codes = body.items.map(({ code }: { code: string }) => code)
  expect(new Set(codes).size).toBe(1000)
  for (const code of codes)
    expect(code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/)
  expect((await admin("POST", PATH, { amountFen: 5 })).body.items).toHaveLength(1)
})

test("422: amounts, codes, counts and times that cannot be", async () => {
  const wrong = [
    { amountFen: 0 },
    { amountFen: -1 },
    { amountFen: 0.5 },
    { amountFen: "100" },
    { amountFen: null },
    { amountFen: AMOUNT_FEN_MAX + 1 },
    { amountFen: 2 ** 53 },
    { amountFen: 1e300 },
    {},
    { amountFen: 1, code: "ABC" },
    { amountFen: 1, code: "A".repeat(65) },
    { amountFen: 1, code: "A B C" },
    { amountFen: 1, code: 'A","B' },
    { amountFen: 1, code: "ÄÖÜß" },
    { amountFen: 1, code: "ABCD", count: 1 },
    { amountFen: 1, count: 0 },
    { amountFen: 1, count: 1001 },
    { amountFen: 1, count: 1.5 },
    { amountFen: 1, totalUses: 0 },
    { amountFen: 1, totalUses: 2 ** 31 },
    { amountFen: 1, note: "a\u0000" },
    { amountFen: 1, startsAt: "tomorrow" },
    { amountFen: 1, expiresAt: "2026-02-30" },
    { amountFen: 1, startsAt: "2026-02-01", expiresAt: "2026-02-01" },
    { amountFen: 1, used: 5 },
  ]
  for (const body of wrong) {
    const answer = await admin("POST", PATH, body)
    expect([body, answer.status, answer.body.code]).toEqual([body, 422, "validation_failed"])
  }
})

test("422: a code that exists, in any case, and then nothing is made or audited", async () => {
  await admin("POST", PATH, { amountFen: 1, code: "TAKEN" })
  const before = await lastAct()
  const { status, body } = await admin("POST", PATH, { amountFen: 1, code: "taken" })
  expect([status, body.errors]).toEqual([
    422,
    [{ path: "/code", message: "This code exists already. Choose another one." }],
  ])
  expect(await lastAct()).toEqual(before)
})

test("200: a disabled code is not redeemed any more; one that is not there is 404", async () => {
  const [{ id, code }] = (await admin("POST", PATH, { amountFen: 1, code: "OVER" })).body.items
  const { status, body } = await admin("POST", `${PATH}/${id}/disable`)
  expect([status, body.id, body.enabled]).toEqual([200, id, false])
  const { token } = await system().register()
  const refused = await system().request("POST", "/v1/redemptions", { token, body: { code } })
  expect(refused.body.code).toBe("code_not_active")
  for (const other of ["code_0000000000000000", "nonsense"]) {
    expect((await admin("POST", `${PATH}/${other}/disable`)).status).toBe(404)
  }
})

test("200: the list has each code once over its pages, newest first", async () => {
  await admin("POST", PATH, { amountFen: 1, count: 7 })
  const ids: string[] = []
  let cursor: string | null = ""
  while (cursor !== null) {
    const { body } = await admin(
      "GET",
      `${PATH}?limit=100${cursor === "" ? "" : `&cursor=${cursor}`}`,
    )
    ids.push(...body.items.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  const [row] = await system().sql<
    { count: number }[]
  >`select count(*)::integer from redemption_codes`
  expect(ids).toHaveLength(row?.count ?? 0)
  expect(new Set(ids).size).toBe(ids.length)
})

test("200: the export is CSV of every code, and no cell of it is a formula", async () => {
  await admin("POST", PATH, { amountFen: 123, code: "EXPORTED", note: '=cmd|"x", y' })
  const { status, body, headers } = await admin("GET", `${PATH}/export`)
  expect(status).toBe(200)
  expect(headers.get("content-type")).toBe("text/csv; charset=utf-8")
  expect(headers.get("content-disposition")).toBe('attachment; filename="redemption-codes.csv"')
  const lines = body.split("\r\n")
  expect(lines[0]).toBe(
    "code,amountFen,amount,totalUses,used,startsAt,expiresAt,enabled,note,createdAt,id",
  )
  expect(lines.find((line: string) => line.startsWith("EXPORTED"))).toMatch(
    /^EXPORTED,123,1\.23,,0,,,true,"'=cmd\|""x"", y",\d{4}-[^,]+Z,code_[0-9a-z]{16}$/,
  )
  const [row] = await system().sql<
    { count: number }[]
  >`select count(*)::integer from redemption_codes`
  expect(lines).toHaveLength((row?.count ?? 0) + 2)
})

test("every act is audited: who, what, from where, in which request", async () => {
  const headers = { "x-request-id": "act-1", "x-forwarded-for": "203.0.113.9" }
  const [{ id }] = (await admin("POST", PATH, { amountFen: 77, code: "AUDITED" }, headers)).body
    .items
  const made = await lastAct()
  expect(made).toMatchObject({
    id: expect.stringMatching(/^aud_/),
    actor: expect.stringMatching(/^acct_/),
    action: "redemption_code.created",
    target: id,
    details: { amountFen: 77, count: 1, ids: [id] },
    requestId: "act-1",
    address: "203.0.113.9",
  })
  expect(JSON.stringify(made)).not.toContain("AUDITED")
  await admin("POST", `${PATH}/${id}/disable`)
  expect(await lastAct()).toMatchObject({ action: "redemption_code.disabled", target: id })
  await admin("GET", `${PATH}/export`)
  expect(await lastAct()).toMatchObject({ action: "redemption_code.exported" })
})

test("the audit log cannot be changed", async () => {
  const { sql } = system()
  const refusalOf = (statement: Promise<unknown>) => statement.then(String, String)
  expect(await refusalOf(sql`update audit_log set actor = 'nobody'`)).toContain("append-only")
  expect(await refusalOf(sql`delete from audit_log`)).toContain("append-only")
})
