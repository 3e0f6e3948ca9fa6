import { expect, test } from "bun:test"
import { useSystem } from "../support/system.ts"

const system = useSystem()

test("an answer carries the caller's request id when it is well formed", async () => {
  for (const id of ["a", "A-b_c.9", "x".repeat(64)]) {
    const headers = { "x-request-id": id }
    const ok = await system().request("GET", "/livez", { headers })
    const refused = await system().request("GET", "/nothing/here", { headers })
    expect(ok.headers.get("x-request-id")).toBe(id)
    expect(refused.headers.get("x-request-id")).toBe(id)
    expect(refused.body.requestId).toBe(id)
  }
})

test("a request id that is not well formed is replaced by one of ours, each time another", async () => {
  const seen = new Set<string | null>()
  for (const id of ["", "x".repeat(65), "a b", "a;b", "é"]) {
    const { headers } = await system().request("GET", "/livez", { headers: { "x-request-id": id } })
    expect(headers.get("x-request-id")).toMatch(/^req_[0-9a-z]{11,}$/)
    seen.add(headers.get("x-request-id"))
  }
  expect(seen.size).toBe(5)
})

test("an unknown path and an unknown method are 404 as problem+json", async () => {
  const tries = [
    ["GET", "/"],
    ["GET", "/v1/nothing"],
    ["PUT", "/v1/keys"],
    ["GET", "/v1/keys/x/y/z"],
    ["POST", "/livez"],
  ] as const
  for (const [method, path] of tries) {
    const { status, body, headers } = await system().request(method, path)
    expect(status).toBe(404)
    expect(headers.get("content-type")).toBe("application/problem+json")
    expect(body).toEqual({
      type: "/errors/not_found",
      title: "There is nothing here.",
      status: 404,
      detail: "No such method and path. GET /openapi.json lists what there is.",
      code: "not_found",
      requestId: headers.get("x-request-id"),
      retryable: false,
    })
  }
})

test("a refusal of a schema names the field, and never repeats what was sent", async () => {
  const { status, body } = await system().request("POST", "/v1/accounts", {
    body: { email: "not an e-mail", password: "s3cret", surprise: "s3cret" },
  })
  expect(status).toBe(422)
  expect(body.errors).toEqual([
    { path: "/surprise", message: "There is no such field." },
    { path: "/email", message: "Must be an e-mail address." },
    { path: "/password", message: "Must have 8 characters or more." },
  ])
  expect(JSON.stringify(body)).not.toContain("s3cret")
})

test("a refusal lists up to 20 faults", async () => {
  const body = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`field${i}`, i]))
  const answer = await system().request("POST", "/v1/accounts", { body })
  expect(answer.status).toBe(422)
  expect(answer.body.errors).toHaveLength(20)
})

test("lists refuse limits out of 1 to 200, unknown parameters and cursors of other lists", async () => {
  const { token } = await system().register()
  const wrong = [
    "limit=0",
    "limit=201",
    "limit=-1",
    "limit=1.5",
    "limit=1e1",
    "limit=%2050",
    "limit=",
    "limit=x",
    "limit=007",
    "page=2",
    "cursor=",
    "cursor=%00",
    "cursor=abc",
    "cursor=MTIz",
    "cursor=....",
    `cursor=${"a".repeat(300)}`,
  ]
  for (const path of ["/v1/keys", "/v1/sessions"]) {
    for (const query of wrong) {
      const { status, body } = await system().request("GET", `${path}?${query}`, { token })
      expect([query, status, body.code]).toEqual([query, 422, "validation_failed"])
    }
  }
  const cursors = [
    "cursor=abc",
    `cursor=${Buffer.from("2026-01-01T00:00:00.000Z key_1").toString("base64url")}`,
  ]
  for (const query of cursors) {
    expect((await system().request("GET", `/v1/changes?${query}`, { token })).status).toBe(422)
  }
})
