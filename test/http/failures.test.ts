import { expect, test } from "bun:test"
import { Type } from "@sinclair/typebox"
import { DrizzleQueryError } from "drizzle-orm/errors"
import postgres from "postgres"
import { connectSql } from "../../db/connection.ts"
import { createPlugin } from "../../src/http/route.ts"
import { useSystem } from "../support/system.ts"

const away = connectSql("postgres://nobody:secret@127.0.0.1:1/none", {
  max: 1,
  applicationName: "test",
})

const faults = createPlugin()
  .get("/faults/thrown", () => {
    throw new TypeError("the secret is 42")
  })
  .get("/faults/text", () => {
    throw "the secret is 42"
  })
  .get("/faults/answer", () => JSON.parse('{"amount":"the secret is 42"}'), {
    response: { 200: Type.Object({ amount: Type.Integer() }) },
  })
  .get("/faults/query", () => {
    const cause = Object.assign(new postgres.PostgresError("bad"), { code: "22P02" })
    throw new DrizzleQueryError("select secret", ["the secret is 42"], cause)
  })
  .get("/faults/away", async () => (await away`select 1`).length)
  .get("/faults/late", () => {
    throw Object.assign(new Error("canceling statement due to statement timeout"), {
      code: "57014",
    })
  })

const system = useSystem({ plugins: [faults] })

test("500 internal_error tells the client nothing, and the operator name and request id", async () => {
  for (const path of ["/faults/thrown", "/faults/text", "/faults/answer", "/faults/query"]) {
    const { status, body, headers } = await system().request("GET", path)
    expect([path, status, body.code, body.retryable]).toEqual([path, 500, "internal_error", false])
    expect(headers.get("content-type")).toBe("application/problem+json")
    expect(JSON.stringify(body)).not.toMatch(/secret|TypeError/)
    expect(system().log.at(-1)).toContain(body.requestId)
  }
})

test("what is logged of a failed query is its SQLSTATE, without query and parameters", async () => {
  await system().request("GET", "/faults/query")
  expect(system().log.at(-1)).toContain("22P02")
  expect(system().log.at(-1)).not.toContain("secret")
})

test("503 billing_unavailable with Retry-After where Postgres is away or does not answer", async () => {
  for (const path of ["/faults/away", "/faults/late"]) {
    const { status, body, headers } = await system().request("GET", path)
    expect([path, status, body.code, body.retryable]).toEqual([
      path,
      503,
      "billing_unavailable",
      true,
    ])
    expect(headers.get("retry-after")).toBe("1")
  }
})
