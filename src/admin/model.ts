import { Type } from "@sinclair/typebox"
import type { AuditEntry } from "../../db/queries/list-audit.ts"
import type { ListedCode } from "../../db/queries/list-codes.ts"
import { CLOSED, Cny, GivenFen, money, Time, text } from "../http/fields.ts"
import { GivenTime } from "../http/times.ts"
import { CODES_PER_REQUEST_MAX } from "../limits.ts"
import { parseFen } from "../money.ts"

const TextOrNull = Type.Union([Type.String(), Type.Null()])
const TimeOrNull = Type.Union([Time, Type.Null()])
const Uses = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })

export const NewCodes = Type.Object(
  {
    amountFen: GivenFen,
    code: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9-]{4,64}$",
        description: "4 to 64 of A to Z, 0 to 9 and dashes",
        examples: ["XUNAN666"],
      }),
    ),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: CODES_PER_REQUEST_MAX })),
    totalUses: Type.Optional(Uses),
    startsAt: Type.Optional(GivenTime),
    expiresAt: Type.Optional(GivenTime),
    note: Type.Optional(text({ max: 200, example: "spring campaign" })),
  },
  { ...CLOSED, examples: [{ amountFen: 1000, count: 1, totalUses: 1 }] },
)

export const Code = Type.Object(
  {
    id: Type.String(),
    code: Type.String(),
    amountFen: GivenFen,
    amount: Cny,
    totalUses: Type.Union([Uses, Type.Null()], {
      description: "How many accounts may redeem it; null: any number, each once.",
    }),
    used: Type.Integer({ minimum: 0 }),
    startsAt: TimeOrNull,
    expiresAt: TimeOrNull,
    enabled: Type.Boolean(),
    note: TextOrNull,
    createdAt: Time,
  },
  CLOSED,
)

export function viewCode({ amountFen, startsAt, expiresAt, createdAt, ...rest }: ListedCode) {
  return {
    ...rest,
    ...money("amount", parseFen(amountFen)),
    startsAt: startsAt?.toISOString() ?? null,
    expiresAt: expiresAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  }
}

export const Entry = Type.Object(
  {
    id: Type.String(),
    actor: Type.String({ description: "the administrator's account id, or system" }),
    action: Type.String(),
    target: Type.String({ description: "the id of what was acted upon" }),
    details: Type.Record(Type.String(), Type.Unknown()),
    requestId: TextOrNull,
    address: TextOrNull,
    at: Time,
  },
  CLOSED,
)

export function viewEntry({ createdAt, ...rest }: AuditEntry) {
  return { ...rest, at: createdAt.toISOString() }
}
