import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { Type } from "@sinclair/typebox"
import { Elysia } from "elysia"
import { availableCalls, formatCny } from "../../src/money.ts"
import { setting } from "./setting.ts"

/** An account as a peer knows it: who has the key. */
export type PeerAccount = { id: string; key: string; keyId: string }

export type PeerCall = {
  account: PeerAccount
  interface: string
  quantity: number
  description: string
  amountFen: number
  requestId: string
}

export type PeerOutcome =
  | { status: "accepted"; balanceFen: number; seq: number; at: Date }
  | { status: "insufficient_balance"; balanceFen: number }

const ChargeBody = Type.Object(
  {
    interface: Type.String({ minLength: 1, maxLength: 64 }),
    quantity: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    description: Type.Optional(Type.String({ maxLength: 200 })),
  },
  { additionalProperties: false },
)

const PRICES = new Map([["user.login", 1]])

/**
 * The route of a charge as Elysia's own documentation would have it, with what makes it quick: raw
 * schemas that are compiled, no normalising of bodies, a parser that is named, the header read from
 * the request. Keys and prices are in memory. The answer is ours, field by field.
 */
export function createPeerApp(charge: (call: PeerCall) => Promise<PeerOutcome>) {
  const accounts = readAccounts()
  return new Elysia({ normalize: false, precompile: true }).post(
    "/v1/charges",
    async ({ request, body, set, status }) => {
      const authorization = request.headers.get("authorization") ?? ""
      const account = accounts.get(authorization.slice("Bearer ".length))
      if (account === undefined) return status(401, { code: "invalid_credential" })
      const priceFen = PRICES.get(body.interface)
      if (priceFen === undefined) return status(404, { code: "unknown_interface" })
      const { quantity = 1, description = "" } = body
      const amountFen = priceFen * quantity
      const requestId = randomUUID()
      set.headers["x-request-id"] = requestId
      const call = {
        account,
        interface: body.interface,
        quantity,
        description,
        amountFen,
        requestId,
      }
      const outcome = await charge(call)
      if (outcome.status !== "accepted") {
        return status(402, { code: outcome.status, balanceFen: outcome.balanceFen, requestId })
      }
      const answer = describe(call, { ...outcome, priceFen })
      set.headers["x-charge-id"] = answer.chargeId
      set.headers["x-charge-fen"] = String(amountFen)
      set.headers["x-available-fen"] = String(answer.availableFen)
      return answer
    },
    { parse: "json", body: ChargeBody },
  )
}

function describe(
  { account, interface: interfaceId, quantity, amountFen }: PeerCall,
  {
    balanceFen,
    seq,
    at,
    priceFen,
  }: { balanceFen: number; seq: number; at: Date; priceFen: number },
) {
  const before = balanceFen + amountFen
  const balance = formatCny(balanceFen)
  return {
    chargeId: `chg_${account.id}_${seq}`,
    interface: interfaceId,
    quantity,
    amountFen,
    amount: formatCny(amountFen),
    balanceBeforeFen: before,
    balanceBefore: formatCny(before),
    balanceAfterFen: balanceFen,
    balanceAfter: balance,
    balanceFen,
    balance,
    availableFen: balanceFen,
    available: balance,
    availableCalls: availableCalls({ available: balanceFen, price: priceFen }),
    seq,
    at: at.toISOString(),
  }
}

function readAccounts(): ReadonlyMap<string, PeerAccount> {
  const accounts: PeerAccount[] = JSON.parse(readFileSync(setting("ACCOUNTS_FILE"), "utf8"))
  return new Map(accounts.map((account) => [account.key, account]))
}
