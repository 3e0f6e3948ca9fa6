import { expect, test } from "bun:test"
import { attemptKey, createAttempts } from "../../src/http/attempts.ts"
import { randomChars } from "../../src/ids.ts"
import { eventually } from "../support/eventually.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem({ registrationsPerHour: 3, trustedProxies: ["127.0.0.1"] })

function register(address: string) {
  const body = { email: `dev-${randomChars(10)}@example.com`, password: "12345678" }
  return system().request("POST", "/v1/accounts", { body, headers: { "x-forwarded-for": address } })
}

test("registrations past the setting are refused per address, with when to come back", async () => {
  const answers = await Promise.all(Array.from({ length: 6 }, () => register("198.51.100.7")))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(3)
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused).toHaveLength(3)
  for (const { body, headers } of refused) {
    expect([body.code, body.retryable]).toEqual(["rate_limited", true])
    const seconds = Number(headers.get("retry-after"))
    expect(seconds).toBeGreaterThan(3_500)
    expect(seconds).toBeLessThanOrEqual(3_600)
    expect(headers.get("ratelimit")).toBe(`"registration";r=0;t=${seconds}`)
    expect(headers.get("ratelimit-policy")).toBe('"registration";q=3;w=3600')
  }
  expect((await register("198.51.100.8")).status).toBe(201)
})

test("the addresses of one IPv6 /64 count as one client", async () => {
  const statuses = []
  for (let i = 1; i <= 4; i++) statuses.push((await register(`2001:db8:1:2::${i}`)).status)
  expect(statuses).toEqual([201, 201, 201, 429])
  expect((await register("2001:db8:1:3::1")).status).toBe(201)
})

test("after the window, registrations go on", async () => {
  const address = "198.51.100.9"
  for (let i = 0; i < 4; i++) await register(address)
  expect((await register(address)).status).toBe(429)
  await system().sql`update attempts set window_ends_at = now()`
  expect((await register(address)).status).toBe(201)
})

test("an attempt that waited for another's is told what is left by then: never more than the window", async () => {
  const { sql } = system()
  const rule = { name: "waits", max: 1, windowMs: 60_000 }
  const another = { key: attemptKey(rule, "somebody"), count: 1, window_ends_at: new Date() }
  const waiting = await sql.begin(async (transaction) => {
    await transaction`insert into attempts ${transaction(another)}`
    const counted = createAttempts(sql).count(rule, "somebody")
    await eventually(async () => {
      const waits = await sql`select from pg_stat_activity where wait_event = 'transactionid'
        and datname = current_database()`
      return waits.length === 1
    })
    await transaction`update attempts set window_ends_at = clock_timestamp() + interval '60 s'
      where key = ${another.key}`
    return { counted }
  })
  const outcome = await waiting.counted
  expect(outcome).toMatchObject({ status: "rate_limited", rule })
  const secondsLeft = outcome.status === "rate_limited" ? outcome.secondsLeft : Number.NaN
  expect(secondsLeft).toBeGreaterThan(30)
  expect(secondsLeft).toBeLessThanOrEqual(60)
})
