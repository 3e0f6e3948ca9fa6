import { expect } from "bun:test"
import { randomChars } from "../../src/ids.ts"
import type { Answer, System } from "./system.ts"

type Client = Pick<System, "request" | "register" | "adminToken">

type Charge = {
  interface?: unknown
  quantity?: unknown
  description?: unknown
  [field: string]: unknown
}

/** An account with an API key, as its owner sees it: through HTTP alone. */
export type Developer = {
  accountId: string
  token: string
  key: string
  keyId: string
  charge(body?: Charge, key?: string): Promise<Answer>
  balance(): Promise<Answer>
  get(path: string): Promise<Answer>
  /** Redeems a code of this value, made for it. */
  credit(amountFen: number): Promise<void>
}

export async function newDeveloper(
  system: Client,
  { balanceFen = 0 }: { balanceFen?: number } = {},
): Promise<Developer> {
  const { accountId, token } = await system.register()
  const made = await system.request("POST", "/v1/keys", { token, body: { name: "test" } })
  expect(made.status).toBe(201)
  const { key, id: keyId } = made.body
  const developer: Developer = {
    accountId,
    token,
    key,
    keyId,
    charge: (body = {}, credential = key) =>
      system.request("POST", "/v1/charges", {
        token: credential,
        body: { interface: "user.login", ...body },
      }),
    balance: () => system.request("GET", "/v1/balance", { token: key }),
    get: (path) => system.request("GET", path, { token }),
    credit: (amountFen) => credit(system, { token, amountFen }),
  }
  if (balanceFen > 0) await developer.credit(balanceFen)
  return developer
}

async function credit(
  system: Client,
  { token, amountFen }: { token: string; amountFen: number },
): Promise<void> {
  const code = `TEST-${randomChars(12).toUpperCase()}`
  const made = await system.request("POST", "/v1/admin/redemption-codes", {
    token: await system.adminToken(),
    body: { amountFen, code, totalUses: 1 },
  })
  expect(made.status).toBe(201)
  const redeemed = await system.request("POST", "/v1/redemptions", { token, body: { code } })
  expect(redeemed.status).toBe(201)
  expect(redeemed.body).toMatchObject({ amountFen, applied: true })
}
