import { expect, test } from "bun:test"
import { randomChars } from "../../src/ids.ts"
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
