import { type TSchema, Type } from "@sinclair/typebox"
import type { ErrorCode } from "../errors.ts"
import { CLOSED, Cny, Fen, Time, text } from "../http/fields.ts"
import { describe } from "../http/route.ts"
import { DESCRIPTION_CHARS_MAX, QUANTITY_MAX } from "../limits.ts"

const InterfaceId = Type.String({ minLength: 1, maxLength: 64, examples: ["user.login"] })
const Calls = Type.Integer({ minimum: 0, description: "floor(available / price)" })
const Seq = Type.Integer({ minimum: 0, description: "number of the account's last change record" })

export const ChargeRequestBody = Type.Object(
  {
    interface: InterfaceId,
    quantity: Type.Optional(Type.Integer({ minimum: 1, maximum: QUANTITY_MAX })),
    description: Type.Optional(text({ min: 0, max: DESCRIPTION_CHARS_MAX, example: "a login" })),
  },
  { ...CLOSED, examples: [{ interface: "user.login" }] },
)

export const Charge = Type.Object(
  {
    chargeId: Type.String({ description: "chg_ and what tells account, month and number" }),
    interface: InterfaceId,
    quantity: Type.Integer({ minimum: 1, maximum: QUANTITY_MAX }),
    amountFen: Fen,
    amount: Cny,
    balanceBeforeFen: Fen,
    balanceBefore: Cny,
    balanceAfterFen: Fen,
    balanceAfter: Cny,
    balanceFen: Fen,
    balance: Cny,
    availableFen: Fen,
    available: Cny,
    availableCalls: Calls,
    seq: Seq,
    at: Time,
  },
  CLOSED,
)

export const BalanceQuery = Type.Object({ interface: Type.Optional(InterfaceId) }, CLOSED)

export const Balance = Type.Object(
  {
    balanceFen: Fen,
    balance: Cny,
    heldFen: Fen,
    held: Cny,
    availableFen: Fen,
    available: Cny,
    availableCalls: Calls,
    rewardFen: Fen,
    reward: Cny,
    earningsFen: Fen,
    earnings: Cny,
    grants: Type.Array(
      Type.Object({ amountLeftFen: Fen, amountLeft: Cny, expiresAt: Time }, CLOSED),
    ),
    seq: Seq,
  },
  CLOSED,
)

/**
 * What the API document says of a route of the hot path. Its answers are not checked against their
 * schema at every call, as those of other routes are; a test does it.
 */
export function describeCall(route: {
  summary: string
  answer: TSchema
  headers?: Record<string, string>
  security: readonly Record<string, string[]>[]
  errors: readonly ErrorCode[]
}) {
  const { summary, answer, headers = {}, security, errors } = route
  const { detail } = describe({ tag: "Calls", summary, errors })
  const described = Object.entries(headers).map(([name, description]) => [
    name,
    { description, schema: { type: "string" } },
  ])
  const done = {
    description: "Done.",
    ...(described.length > 0 && { headers: Object.fromEntries(described) }),
    content: { "application/json": { schema: answer } },
  }
  return {
    detail: { ...detail, security: [...security], responses: { ...detail.responses, "200": done } },
  }
}
