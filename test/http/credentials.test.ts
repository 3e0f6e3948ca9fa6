import { expect, test } from "bun:test"
import { newCredential, parseAccountId } from "../../src/ids.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem({ publicUrl: "https://billing.example.com" })

async function readAccount(headers: Record<string, string>, method = "GET", path = "/v1/account") {
  const { status, body, headers: received } = await system().request(method, path, { headers })
  return { status, code: body.code, challenge: received.get("www-authenticate") }
}

test("401 missing_credential without any credential", async () => {
  const expected = { status: 401, code: "missing_credential", challenge: "Bearer" }
  expect(await readAccount({})).toEqual(expected)
  expect(await readAccount({ cookie: "other=1; not_fengate_session=fa_x" })).toEqual(expected)
})

test("401 invalid_credential for what is malformed, unknown, mistyped or of another kind", async () => {
  const { accountId, token } = await system().register()
  const id = parseAccountId(accountId)
  const last = token.endsWith("a") ? "b" : "a"
  const wrong = [
    "Bearer",
    "Bearer x",
    `Basic ${token}`,
    token,
    `Bearer ${token} ${token}`,
    `Bearer ${token.slice(0, -1)}${last}`,
    `Bearer ${token.toUpperCase()}`,
    `Bearer ${newCredential("fa", id)}`,
    `Bearer ${newCredential("fk", id)}`,
  ]
  for (const authorization of wrong) {
    const answer = await readAccount({ authorization })
    expect([authorization, answer.status, answer.code]).toEqual([
      authorization,
      401,
      "invalid_credential",
    ])
  }
  expect((await readAccount({ authorization: `bearer ${token}` })).status).toBe(200)
})

test("an API key in place of an access token is told to be one", async () => {
  const { token } = await system().register()
  const { body } = await system().request("POST", "/v1/keys", { token, body: { name: "a" } })
  const answer = await system().request("GET", "/v1/keys", { token: body.key })
  expect(answer.body.detail).toBe(
    "An access token (fa_…) belongs here; this is a key that begins with fk_.",
  )
})

test("a session that has expired is an invalid credential", async () => {
  const { token, accountId } = await system().register()
  await system().sql`update sessions set expires_at = now() where account_id = ${accountId}`
  expect((await readAccount({ authorization: `Bearer ${token}` })).code).toBe("invalid_credential")
})

test("the cookie of a login is HttpOnly, Lax, for the whole site, and Secure over https", async () => {
  const { email, password, token } = await system().register()
  const login = await system().request("POST", "/v1/sessions", { body: { email, password } })
  const cookie = login.headers.get("set-cookie") ?? ""
  expect(cookie).toMatch(
    /^fengate_session=fa_[0-9a-z]{48}; Expires=[^;]+; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  )
  const sent = { cookie: `theme=dark; fengate_session=${login.body.accessToken}` }
  expect((await readAccount(sent)).status).toBe(200)
  const out = await system().request("DELETE", "/v1/sessions/current", { token })
  expect(out.headers.get("set-cookie")).toStartWith("fengate_session=; Max-Age=0; Path=/;")
})

test("403 not_allowed for a change that another site makes with the cookie", async () => {
  const { token } = await system().register()
  const cookie = `fengate_session=${token}`
  const host = new URL(system().url).host
  const send = async (headers: Record<string, string>) =>
    (
      await system().request("POST", "/v1/keys", {
        body: { name: "x" },
        headers: { cookie, ...headers },
      })
    ).status
  expect(await send({})).toBe(403)
  expect(await send({ origin: "https://evil.example.com" })).toBe(403)
  expect(await send({ origin: "null" })).toBe(403)
  expect(await send({ "sec-fetch-site": "cross-site" })).toBe(403)
  expect(await send({ "sec-fetch-site": "same-site", origin: "https://other.example.com" })).toBe(
    403,
  )
  expect(await send({ origin: "https://billing.example.com" })).toBe(201)
  expect(await send({ origin: `http://${host}` })).toBe(201)
  expect(await send({ "sec-fetch-site": "same-origin" })).toBe(201)
})
