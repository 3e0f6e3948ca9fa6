import { Type } from "@sinclair/typebox"
import type { ListedServiceKey } from "../../db/queries/list-service-keys.ts"
import { CLOSED, Time, text } from "../http/fields.ts"

const Name = text({ max: 64, example: "billing backend" })

const serviceKey = {
  id: Type.String({ description: "svc_ and 16 characters" }),
  name: Type.String({ description: "as the administrators call it" }),
  enabled: Type.Boolean({ description: "false: refused with key_disabled until it is enabled" }),
  createdAt: Time,
}

export const ServiceKey = Type.Object(serviceKey, CLOSED)
export const ServiceKeyCreated = Type.Object(
  { ...serviceKey, key: Type.String({ description: "fs_ and 48 characters, shown once" }) },
  CLOSED,
)
export const NewServiceKey = Type.Object(
  { name: Name },
  { ...CLOSED, examples: [{ name: "billing backend" }] },
)
export const ServiceKeyChange = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ description: "false disables, true enables again" })),
    name: Type.Optional(Name),
  },
  { ...CLOSED, minProperties: 1, examples: [{ enabled: false }] },
)

export function viewServiceKey({ id, name, enabled, createdAt }: ListedServiceKey) {
  return { id, name, enabled, createdAt: createdAt.toISOString() }
}
