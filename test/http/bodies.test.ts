import { expect, test } from "bun:test"
import { BODY_BYTES_MAX } from "../../src/limits.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem()

const JSON_TYPE = { "content-type": "application/json" }

function post(body: RequestInit["body"], headers: Record<string, string> = JSON_TYPE) {
  return system().request("POST", "/v1/sessions", { body, headers })
}

/** A body that does not say its length. */
function chunked(text: string): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 8_192)
        controller.enqueue(bytes.slice(at, at + 8_192))
      controller.close()
    },
  })
}

const padded = (bytes: number) => {
  const empty = JSON.stringify({ email: "a@example.com", password: "", x: "" })
  return JSON.stringify({
    email: "a@example.com",
    password: "",
    x: "y".repeat(bytes - empty.length),
  })
}

test("400 malformed_json: a body that is not JSON", async () => {
  const bad = [
    "{",
    "not json",
    "{'a':1}",
    "[1,",
    "\u0000",
    '{"a":1}{',
    "NaN",
    "[".repeat(30_000),
    "  ",
  ]
  for (const body of bad) {
    for (const sent of [body, chunked(body)]) {
      const answer = await post(sent)
      expect([body.slice(0, 9), answer.status, answer.body.code]).toEqual([
        body.slice(0, 9),
        400,
        "malformed_json",
      ])
    }
  }
})

test("JSON that is nested 30,000 deep is refused, and the process goes on", async () => {
  const deep = `${"[".repeat(30_000)}${"]".repeat(30_000)}`
  const inField = `{"email":${"[".repeat(30_000)}${"]".repeat(30_000)},"password":"x"}`
  for (const body of [
    deep,
    inField,
    chunked(deep),
    `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`,
  ]) {
    const answer = await post(body)
    expect([400, 422]).toContain(answer.status)
  }
  expect((await system().request("GET", "/livez")).status).toBe(200)
})

test("422 validation_failed: no body, an empty one, and JSON that is no object", async () => {
  const bodies = [undefined, "", "null", "1", '"text"', "[]", "true", "{}"]
  for (const body of bodies) {
    const answer = await post(body)
    expect([body, answer.status, answer.body.code]).toEqual([body, 422, "validation_failed"])
  }
  expect((await post(chunked(""))).status).toBe(422)
})

test("413 body_too_large: one byte past 64 KiB, announced or chunked, as problem+json", async () => {
  expect((await post(padded(BODY_BYTES_MAX))).status).toBe(422)
  expect((await post(chunked(padded(BODY_BYTES_MAX)))).status).toBe(422)
  for (const body of [padded(BODY_BYTES_MAX + 1), chunked(padded(BODY_BYTES_MAX + 1))]) {
    const answer = await post(body)
    expect([answer.status, answer.body.code]).toEqual([413, "body_too_large"])
    expect(answer.headers.get("content-type")).toBe("application/problem+json")
    expect(answer.headers.get("x-request-id")).toBe(answer.body.requestId)
  }
  const mebibytes = await post("x".repeat(3_000_000))
  expect(mebibytes.status).toBe(413)
})

test("415 unsupported_media_type: another content type; a charset or none is accepted", async () => {
  const body = JSON.stringify({ email: "nobody@example.com", password: "wrong" })
  for (const type of [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonx",
    "json",
  ]) {
    const answer = await post(body, { "content-type": type })
    expect([type, answer.status, answer.body.code]).toEqual([type, 415, "unsupported_media_type"])
  }
  for (const type of [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON ;charset=UTF-8",
  ]) {
    expect((await post(body, { "content-type": type })).status).toBe(401)
  }
  const untyped = await fetch(`${system().url}/v1/sessions`, {
    method: "POST",
    body: Buffer.from(body),
  })
  expect(untyped.status).toBe(401)
})

test("a key named __proto__ is an unknown field", async () => {
  const answer = await post('{"email":"a@example.com","password":"x","__proto__":{"a":1}}')
  expect(answer.status).toBe(422)
  expect(answer.body.errors).toContainEqual({
    path: "/__proto__",
    message: "There is no such field.",
  })
})
