import { expect, test } from "bun:test"
import { AMOUNT_FEN_MAX } from "../../src/money.ts"
import { useSystem } from "../support/system.ts"
import { insertCode, usedOf } from "./codes.ts"

const system = useSystem()

async function redeem(token: string, code: unknown) {
  const { status, body } = await system().request("POST", "/v1/redemptions", {
    token,
    body: { code },
  })
  return [status, body.code]
}

const anHour = 3_600_000
const earlier = () => new Date(Date.now() - anHour)
const later = () => new Date(Date.now() + anHour)

test("404 code_not_found: a code that nobody made", async () => {
  const { token } = await system().register()
  for (const code of ["NONE", " ", "x".repeat(64), "XUNAN66", "' or 1=1", "%"]) {
    expect(await redeem(token, code)).toEqual([404, "code_not_found"])
  }
})

test("409 already_redeemed: twice by one account, whatever became of the code", async () => {
  const { token } = await system().register()
  const code = await insertCode(system(), { totalUses: 1 })
  expect(await redeem(token, code)).toEqual([201, undefined])
  expect(await redeem(token, code)).toEqual([409, "already_redeemed"])
  await system()
    .sql`update redemption_codes set enabled = false, expires_at = now() where code = ${code}`
  expect(await redeem(token, code)).toEqual([409, "already_redeemed"])
})

test("409 code_used_up: after as many accounts as it is for", async () => {
  const code = await insertCode(system(), { totalUses: 1 })
  expect(await redeem((await system().register()).token, code)).toEqual([201, undefined])
  expect(await redeem((await system().register()).token, code)).toEqual([409, "code_used_up"])
  expect(await usedOf(system(), code)).toBe(1)
})

test("409 code_not_active: early, expired or disabled", async () => {
  const { token } = await system().register()
  const inactive = [
    { startsAt: later() },
    { expiresAt: earlier() },
    { enabled: false },
    { startsAt: earlier(), expiresAt: earlier() },
  ]
  for (const fields of inactive) {
    const code = await insertCode(system(), fields)
    expect(await redeem(token, code)).toEqual([409, "code_not_active"])
    expect(await usedOf(system(), code)).toBe(0)
  }
})

test("fifty at once of one account: one 201, the others already_redeemed", async () => {
  for (const totalUses of [null, 50, 1]) {
    const { token } = await system().register()
    const code = await insertCode(system(), { totalUses })
    const answers = await Promise.all(Array.from({ length: 50 }, () => redeem(token, code)))
    expect(answers.filter(([status]) => status === 201)).toHaveLength(1)
    expect(answers.filter(([, refusal]) => refusal === "already_redeemed")).toHaveLength(49)
    expect(await usedOf(system(), code)).toBe(1)
  }
})

test("twenty accounts at once on a code for seven: seven 201, the others code_used_up", async () => {
  const holders = await Promise.all(Array.from({ length: 20 }, () => system().register()))
  const code = await insertCode(system(), { totalUses: 7 })
  const answers = await Promise.all(holders.map(({ token }) => redeem(token, code)))
  expect(answers.filter(([status]) => status === 201)).toHaveLength(7)
  expect(answers.filter(([, refusal]) => refusal === "code_used_up")).toHaveLength(13)
  expect(await usedOf(system(), code)).toBe(7)
})

test("422 validation_failed: what is no code, and unknown fields", async () => {
  const { token } = await system().register()
  for (const code of [
    "",
    "x".repeat(65),
    "A\u0000",
    "A\nB",
    5,
    null,
    {},
    ["XUNAN666"],
    undefined,
  ]) {
    expect(await redeem(token, code)).toEqual([422, "validation_failed"])
  }
  const body = { code: "XUNAN666", amountFen: 5 }
  expect((await system().request("POST", "/v1/redemptions", { token, body })).status).toBe(422)
})

test("422 validation_failed: a balance above the largest that there may be", async () => {
  const { token } = await system().register()
  const largest = await insertCode(system(), { amountFen: AMOUNT_FEN_MAX })
  const fen = await insertCode(system(), { amountFen: 1 })
  expect(await redeem(token, largest)).toEqual([201, undefined])
  expect(await redeem(token, fen)).toEqual([422, "validation_failed"])
  expect(await usedOf(system(), fen)).toBe(0)
})

test("429 rate_limited: ten unknown codes, then not even a real one; known ones never count", async () => {
  const { token } = await system().register()
  const code = await insertCode(system())
  const known = await insertCode(system(), { enabled: false })
  for (let i = 0; i < 15; i++) expect(await redeem(token, known)).toEqual([409, "code_not_active"])
  const guesses = await Promise.all(
    Array.from({ length: 20 }, (_, i) => redeem(token, `GUESS-${i}`)),
  )
  expect(guesses.filter(([status]) => status === 404)).toHaveLength(10)
  expect(guesses.filter(([status]) => status === 429)).toHaveLength(10)
  expect(await redeem(token, code)).toEqual([429, "rate_limited"])
  const { headers } = await system().request("POST", "/v1/redemptions", { token, body: { code } })
  expect(headers.get("ratelimit-policy")).toBe('"redemption";q=10;w=900')
  expect(Number(headers.get("retry-after"))).toBeGreaterThan(800)
  expect(await redeem((await system().register()).token, code)).toEqual([201, undefined])
  await system().sql`update attempts set window_ends_at = now()`
  expect(await redeem(token, code)).toEqual([201, undefined])
})
