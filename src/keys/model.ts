import { Type } from "@sinclair/typebox"
import type { ListedKey } from "../../db/queries/list-keys.ts"
import { CLOSED, Time, text } from "../http/fields.ts"

const Name = text({ max: 64, example: "production" })

const key = {
  id: Type.String({ description: "key_ and 16 characters" }),
  name: Type.String(),
  enabled: Type.Boolean(),
  limits: Type.Object({}, { ...CLOSED, description: "None yet." }),
  createdAt: Time,
}

export const Key = Type.Object(key, CLOSED)
export const KeyCreated = Type.Object(
  { ...key, key: Type.String({ description: "fk_ and 48 characters, shown once" }) },
  CLOSED,
)
export const NewKey = Type.Object({ name: Name }, { ...CLOSED, examples: [{ name: "production" }] })
export const KeyChange = Type.Object(
  { enabled: Type.Optional(Type.Boolean()), name: Type.Optional(Name) },
  { ...CLOSED, minProperties: 1, examples: [{ enabled: false }] },
)

export function viewKey({ id, name, enabled, createdAt }: ListedKey) {
  return { id, name, enabled, limits: {}, createdAt: createdAt.toISOString() }
}
