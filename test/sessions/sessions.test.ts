import { expect, test } from "bun:test"
import { useSystem } from "../support/system.ts"

const system = useSystem({ trustedProxies: ["127.0.0.1"] })

const logIn = (body: unknown, address = "192.0.2.1") =>
  system().request("POST", "/v1/sessions", { body, headers: { "x-forwarded-for": address } })

test("201: a login answers another token of the same account", async () => {
  const { email, password, accountId, token } = await system().register()
  const { status, body } = await logIn({
    email: email.toUpperCase(),
    password,
    deviceId: "phone",
    totpCode: "123456",
  })
  expect(status).toBe(201)
  expect(body).toEqual({
    accountId,
    accessToken: expect.stringMatching(/^fa_[0-9a-z]{48}$/),
    expiresAt: expect.any(String),
  })
  expect(body.accessToken).not.toBe(token)
  const days = (Date.parse(body.expiresAt) - Date.now()) / 86_400_000
  expect(days).toBeCloseTo(30, 1)
})

test("200: the list shows where the account is logged in, a page at a time", async () => {
  const { email, password, token } = await system().register()
  await logIn({ email, password }, "192.0.2.7")
  await logIn({ email, password }, "192.0.2.8")
  const seen = []
  let cursor = ""
  for (let pages = 0; pages < 3; pages++) {
    const path = `/v1/sessions?limit=1${cursor === "" ? "" : `&cursor=${cursor}`}`
    const { body } = await system().request("GET", path, { token })
    seen.push(...body.items)
    cursor = body.nextCursor
    expect(cursor === null).toBe(pages === 2)
  }
  expect(seen.map(({ address, current }) => [address, current])).toEqual([
    ["192.0.2.8", false],
    ["192.0.2.7", false],
    ["127.0.0.1", true],
  ])
})

test("204: a session that was ended is over at once, and others go on", async () => {
  const { email, password, token } = await system().register()
  const other = (await logIn({ email, password })).body.accessToken
  const { items } = (await system().request("GET", "/v1/sessions", { token })).body
  const { id } = items.find(({ current }: { current: boolean }) => !current)
  expect((await system().request("DELETE", `/v1/sessions/${id}`, { token })).status).toBe(204)
  expect((await system().request("GET", "/v1/account", { token: other })).status).toBe(401)
  expect((await system().request("GET", "/v1/account", { token })).status).toBe(200)
  expect((await system().request("DELETE", "/v1/sessions/current", { token })).status).toBe(204)
  expect((await system().request("GET", "/v1/account", { token })).status).toBe(401)
})

test("404: somebody else's session, one that is gone, and what is no id", async () => {
  const [one, two] = [await system().register(), await system().register()]
  const { items } = (await system().request("GET", "/v1/sessions", { token: two.token })).body
  for (const id of [items[0].id, "ses_0000000000000000", "nonsense", "%00", "ses_%27--"]) {
    const { status, body } = await system().request("DELETE", `/v1/sessions/${id}`, {
      token: one.token,
    })
    expect([id, status, body.code]).toEqual([id, 404, "not_found"])
  }
  expect((await system().request("GET", "/v1/account", { token: two.token })).status).toBe(200)
})

test("401 wrong_password: the same for an unknown e-mail, and after about the same time", async () => {
  const { email } = await system().register()
  const spent = { known: 0, unknown: 0 }
  for (let i = 0; i < 5; i++) {
    for (const [kind, tried] of [
      ["known", email],
      ["unknown", `nobody-${i}@example.com`],
    ] as const) {
      const startedAt = performance.now()
      const { status, body } = await logIn({ email: tried, password: "wrong" })
      spent[kind] += performance.now() - startedAt
      expect([status, body.code]).toEqual([401, "wrong_password"])
    }
  }
  expect(spent.unknown / spent.known).toBeGreaterThan(0.5)
  expect(spent.unknown / spent.known).toBeLessThan(2)
})

test("422 validation_failed: unknown and missing fields", async () => {
  const wrong = [
    {},
    { email: "a@b.cd" },
    { password: "x" },
    { email: "a@b.cd", password: "x", remember: true },
  ]
  for (const body of wrong) expect((await logIn(body)).status).toBe(422)
})

test("429 rate_limited: ten wrong passwords an e-mail, then not even the right one", async () => {
  const { email, password } = await system().register()
  const tries = Array.from({ length: 15 }, (_, i) =>
    logIn({ email, password: `wrong ${i}` }, `192.0.2.${i}`),
  )
  const answers = await Promise.all(tries)
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(10)
  const refused = await logIn({ email, password }, "192.0.2.99")
  expect([refused.status, refused.body.code]).toEqual([429, "rate_limited"])
  expect(refused.headers.get("ratelimit-policy")).toBe('"login";q=10;w=900')
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(800)
  await system().sql`update attempts set window_ends_at = now()`
  expect((await logIn({ email, password })).status).toBe(201)
})

test("a login that succeeds is not counted, and clears what was", async () => {
  const { email, password } = await system().register()
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 5; i++)
      expect((await logIn({ email, password: "wrong" }, "192.0.2.50")).status).toBe(401)
    expect((await logIn({ email, password }, "192.0.2.50")).status).toBe(201)
  }
  const many = await Promise.all(Array.from({ length: 12 }, () => logIn({ email, password })))
  expect(many.every(({ status }) => status === 201)).toBe(true)
})

test("a hundred failures from one address bar it for every e-mail", async () => {
  const address = "192.0.2.200"
  const { email, password } = await system().register()
  await system().sql`delete from attempts`
  await logIn({ email: "nobody@example.com", password: "wrong" }, address)
  await system().sql`update attempts set count = 99 where key like 'login_address %'`
  expect((await logIn({ email: "nobody-2@example.com", password: "wrong" }, address)).status).toBe(
    401,
  )
  expect((await logIn({ email, password }, address)).status).toBe(429)
  expect((await logIn({ email, password }, "192.0.2.201")).status).toBe(201)
})
