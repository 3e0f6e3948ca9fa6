import { Type } from "@sinclair/typebox"
import type { ListedKey } from "../../db/queries/list-keys.ts"
import { CLOSED, Time, text } from "../http/fields.ts"
import { ROTATION_OVERLAP_SECONDS_MAX } from "../limits.ts"
import { Limits, LimitsChange, NewLimits, viewLimits } from "./limits.ts"

const Name = text({ max: 64, example: "production" })

const key = {
  id: Type.String({ description: "key_ and 16 characters" }),
  name: Type.String({ description: "as its owner calls it" }),
  enabled: Type.Boolean({ description: "false: refused with key_disabled until it is enabled" }),
  limits: Limits,
  createdAt: Time,
}

export const Key = Type.Object(key, CLOSED)
export const KeyCreated = Type.Object(
  { ...key, key: Type.String({ description: "fk_ and 48 characters, shown once" }) },
  CLOSED,
)
export const NewKey = Type.Object(
  { name: Name, limits: Type.Optional(NewLimits) },
  { ...CLOSED, examples: [{ name: "production", limits: { dailyFen: 10_000 } }] },
)
export const KeyChange = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ description: "false disables, true enables again" })),
    name: Type.Optional(Name),
    limits: Type.Optional(LimitsChange),
  },
  { ...CLOSED, minProperties: 1, examples: [{ enabled: false }, { limits: { dailyFen: null } }] },
)
export const Rotation = Type.Object(
  {
    overlapSeconds: Type.Integer({
      minimum: 0,
      maximum: ROTATION_OVERLAP_SECONDS_MAX,
      description: "How long the secret before goes on opening the key; 0: it ends at once.",
    }),
  },
  { ...CLOSED, examples: [{ overlapSeconds: 3_600 }] },
)

export function viewKey(row: ListedKey) {
  const { id, name, enabled, createdAt } = row
  return { id, name, enabled, limits: viewLimits(row), createdAt: createdAt.toISOString() }
}
