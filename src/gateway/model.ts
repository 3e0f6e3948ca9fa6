import { type TSchema, Type } from "@sinclair/typebox"
import type { ErrorCode } from "../errors.ts"
import { CLOSED, Cny, Fen, GivenFen, Time, text } from "../http/fields.ts"
import { IDEMPOTENCY_KEY_PATTERN } from "../http/idempotency-key.ts"
import { describe } from "../http/route.ts"
import {
  BATCH_CHARGES_MAX,
  DESCRIPTION_CHARS_MAX,
  HOLD_TTL_SECONDS_DEFAULT,
  HOLD_TTL_SECONDS_MAX,
  QUANTITY_MAX,
} from "../limits.ts"

const InterfaceId = Type.String({ minLength: 1, maxLength: 64, examples: ["user.login"] })
const Calls = Type.Integer({ minimum: 0, description: "floor(available / price)" })
const Seq = Type.Integer({ minimum: 0, description: "number of the account's last change record" })
const GivenQuantity = Type.Integer({
  minimum: 1,
  maximum: QUANTITY_MAX,
  description:
    "how many calls of the interface, 1 where none is given; beside an amount it is only recorded",
})
const Credential = Type.String({ minLength: 1, maxLength: 128 })

const wish = {
  interface: Type.Optional(InterfaceId),
  quantity: Type.Optional(GivenQuantity),
  description: Type.Optional(text({ min: 0, max: DESCRIPTION_CHARS_MAX, example: "a login" })),
  apiKey: Type.Optional({
    ...Credential,
    description: "with a service key: the API key that pays, within its own limits",
  }),
  accountId: Type.Optional({
    ...Credential,
    description: "with a service key: the account that pays, instead of an API key",
  }),
}
const amount = (who: string) =>
  Type.Optional({
    ...GivenFen,
    description: `${who} an amount in fen instead of an interface; recorded as "custom"`,
  })

const charge = { ...wish, amountFen: amount("with a service key:") }

export const ChargeRequestBody = Type.Object(charge, {
  ...CLOSED,
  examples: [{ interface: "user.login" }],
})

export const BatchBody = Type.Object(
  {
    items: Type.Array(
      Type.Object(
        {
          ...charge,
          idempotencyKey: Type.Optional(
            Type.String({
              pattern: IDEMPOTENCY_KEY_PATTERN,
              description: "the Idempotency-Key of this charge alone",
            }),
          ),
        },
        CLOSED,
      ),
      { minItems: 1, maxItems: BATCH_CHARGES_MAX },
    ),
  },
  { ...CLOSED, examples: [{ items: [{ interface: "user.login" }] }] },
)

export const HoldBody = Type.Object(
  {
    ...wish,
    amountFen: amount(""),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: HOLD_TTL_SECONDS_MAX,
        description: `after which the hold is voided by itself; ${HOLD_TTL_SECONDS_DEFAULT} where none is given`,
      }),
    ),
  },
  { ...CLOSED, examples: [{ interface: "user.login", ttlSeconds: 60 }] },
)

export const CaptureBody = Type.Object(
  { amountFen: Type.Optional({ ...GivenFen, description: "up to what is held; else all of it" }) },
  { ...CLOSED, examples: [{}] },
)
export const VoidBody = Type.Object({}, { ...CLOSED, examples: [{}] })
export const AuthorizeQuery = Type.Object(
  {
    deny: Type.Optional(
      Type.Literal("403", { description: "answers 403 for whatever auth_request cannot pass on" }),
    ),
  },
  CLOSED,
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

export const Batch = Type.Object(
  {
    results: Type.Array(Type.Union([Charge, Type.Ref("#/components/schemas/Problem")]), {
      description: "in the order of the items: a charge, or a problem with its status",
    }),
  },
  CLOSED,
)

const HoldId = Type.String({ description: "hold_ and more; opaque" })
export const Hold = Type.Object(
  {
    holdId: HoldId,
    amountFen: Fen,
    amount: Cny,
    expiresAt: Time,
    availableFen: Fen,
    available: Cny,
  },
  CLOSED,
)
export const VoidedHold = Type.Object({ holdId: HoldId, availableFen: Fen, available: Cny }, CLOSED)

export const BalanceQuery = Type.Object(
  {
    interface: Type.Optional(InterfaceId),
    accountId: Type.Optional({ ...Credential, description: "with a service key: whose balance" }),
  },
  CLOSED,
)

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

const PAID_HEADERS = {
  "X-Charge-Id": "The chargeId.",
  "X-Charge-Fen": "What was taken, in fen.",
  "X-Available-Fen": "What may be spent afterwards, in fen.",
}
const REPLAY_HEADERS = {
  "Idempotent-Replayed": "true where this is the stored answer of an earlier request.",
}
const RATE_HEADERS = {
  RateLimit: "What the key may still call, where it has a rate limit.",
  "RateLimit-Policy": "The rate limit of the key, where it has one.",
}
const PAYER_HEADERS = {
  "X-Account-Id": "Whose call it is.",
  "X-Key-Id": "Which API key has made it.",
}
export const HEADERS = {
  paid: PAID_HEADERS,
  replay: REPLAY_HEADERS,
  rate: RATE_HEADERS,
  payer: PAYER_HEADERS,
}

const IDEMPOTENCY_PARAMETER = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description:
    "Makes the request safe to send again for 24 hours: it is answered as it was first. Within account, method and path.",
  schema: { type: "string", pattern: IDEMPOTENCY_KEY_PATTERN } as const,
}

/**
 * What the API document says of a route of the hot path. Its answers are not checked against their
 * schema at every call, as those of other routes are; a test does it.
 */
export function describeCall(route: {
  summary: string
  status?: 200 | 201
  answer: TSchema | null
  headers?: readonly Record<string, string>[]
  isKeyed?: boolean
  security: readonly Record<string, string[]>[]
  errors: readonly ErrorCode[]
}) {
  const { summary, status = 200, answer, headers = [], isKeyed = false, security, errors } = route
  const { detail } = describe({ tag: "Calls", summary, errors })
  const described = headers
    .flatMap(Object.entries<string>)
    .map(([name, description]) => [name, { description, schema: { type: "string" } }])
  const done = {
    description: "Done.",
    ...(described.length > 0 && { headers: Object.fromEntries(described) }),
    ...(answer !== null && { content: { "application/json": { schema: answer } } }),
  }
  const responses = { ...detail.responses, [status]: done }
  const parameters = isKeyed ? [IDEMPOTENCY_PARAMETER] : []
  return { detail: { ...detail, parameters, security: [...security], responses } }
}
