import { expect, test } from "bun:test"
import { useSystem } from "../support/system.ts"

const system = useSystem()

test("registration answers an account, and a token that manages it at once", async () => {
  const body = { email: "  Mei.Lin@Example.COM ", password: "correct horse", deviceId: "d1" }
  const { status, body: created } = await system().request("POST", "/v1/accounts", { body })
  expect(status).toBe(201)
  expect(created).toEqual({
    accountId: expect.stringMatching(/^acct_[0-9a-z]{16}$/),
    accessToken: expect.stringMatching(/^fa_[0-9a-z]{48}$/),
    expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  })
  const account = await system().request("GET", "/v1/account", { token: created.accessToken })
  expect(account.body).toEqual({
    accountId: created.accountId,
    email: "mei.lin@example.com",
    emailVerified: false,
    role: "developer",
    status: "open",
    createdAt: expect.any(String),
    inviteCode: expect.stringMatching(/^[0-9a-z]{10}$/),
    totpEnabled: false,
  })
})

test("the account is open in the ledger when the answer comes, with a balance of 0", async () => {
  const { accountId } = await system().register()
  const [row] = await system().sql<
    { id: string }[]
  >`select id from accounts where id = ${accountId}`
  expect(row?.id).toBe(accountId)
  const { parseAccountId } = await import("../../src/ids.ts")
  const outcome = await system().ledger.readAccount(parseAccountId(accountId))
  expect(outcome).toMatchObject({
    status: "found",
    account: { balanceFen: 0, instruction: 1, authVersion: 1 },
  })
})

test("an invite code of somebody is accepted, in any case", async () => {
  const { token } = await system().register()
  const { inviteCode } = (await system().request("GET", "/v1/account", { token })).body
  for (const code of [inviteCode, ` ${inviteCode.toUpperCase()} `]) {
    const email = `friend-${Math.random()}@example.com`
    const body = { email, password: "12345678", inviteCode: code }
    expect((await system().request("POST", "/v1/accounts", { body })).status).toBe(201)
  }
})

test("passwords and tokens are kept as hashes only", async () => {
  const { accountId, token, password } = await system().register()
  const [account] = await system().sql<{ password_hash: string }[]>`
    select password_hash from accounts where id = ${accountId}`
  expect(account?.password_hash).toStartWith("$argon2id$v=19$m=19456,t=2,")
  const dump = JSON.stringify([
    await system().sql`select * from accounts where id = ${accountId}`,
    await system().sql`select * from sessions where account_id = ${accountId}`,
  ])
  expect(dump).not.toContain(token)
  expect(dump).not.toContain(password)
})
