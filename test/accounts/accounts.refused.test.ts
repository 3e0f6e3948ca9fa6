import { expect, test } from "bun:test"
import { randomChars } from "../../src/ids.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem()

const register = (body: unknown) => system().request("POST", "/v1/accounts", { body })
const email = () => `dev-${randomChars(10)}@example.com`

test("409 email_taken: one account an e-mail, however it is typed", async () => {
  const first = await system().register()
  for (const taken of [first.email, first.email.toUpperCase(), `  ${first.email} `]) {
    const { status, body } = await register({ email: taken, password: "12345678" })
    expect([status, body.code]).toEqual([409, "email_taken"])
  }
})

test("of twenty registrations of one e-mail at once, one is made", async () => {
  const body = { email: email(), password: "12345678" }
  const answers = await Promise.all(Array.from({ length: 20 }, () => register(body)))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  expect(answers.filter(({ body: { code } }) => code === "email_taken")).toHaveLength(19)
})

test("422 unknown_invite_code: a code that was typed and is nobody's", async () => {
  const { status, body } = await register({
    email: email(),
    password: "12345678",
    inviteCode: "nobodys",
  })
  expect([status, body.code]).toEqual([422, "unknown_invite_code"])
})

test("422 validation_failed: e-mails and passwords that are none", async () => {
  const good = { email: email(), password: "12345678" }
  const wrong = [
    { email: "" },
    { email: "@" },
    { email: "a@" },
    { email: "@b" },
    { email: "a@b@c" },
    { email: "a b@c.d" },
    { email: `${"a".repeat(250)}@b.cd` },
    { email: "a\u0000@b.cd" },
    { email: 5 },
    { email: null },
    { email: ["a@b.cd"] },
    { password: "1234567" },
    { password: "x".repeat(257) },
    { password: 12345678 },
    { inviteCode: "" },
    { inviteCode: "a\u0000" },
    { inviteCode: 1 },
    { deviceId: "\u0007" },
    { role: "admin" },
    { accountId: "acct_0000000000000000" },
  ]
  for (const fault of wrong) {
    const { status, body } = await register({ ...good, ...fault })
    expect([fault, status, body.code]).toEqual([fault, 422, "validation_failed"])
  }
  expect((await register({ ...good, password: "x".repeat(256) })).status).toBe(201)
})
