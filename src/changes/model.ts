import { Type } from "@sinclair/typebox"
import { KINDS } from "../http/change.ts"
import { CLOSED, text } from "../http/fields.ts"
import { pageQuery } from "../http/paging.ts"
import { GivenTime } from "../http/times.ts"

export const ChangesQuery = Type.Object(
  {
    ...pageQuery,
    type: Type.Optional(
      Type.String({
        pattern: "^[12]$",
        description: "1 (recharge) or 2 (deduct)",
        "x-type": { type: "integer", enum: [1, 2] },
      }),
    ),
    kind: Type.Optional(
      Type.Union(
        KINDS.map((kind) => Type.Literal(kind)),
        { description: `one of ${KINDS.join(", ")}` },
      ),
    ),
    from: Type.Optional(GivenTime),
    to: Type.Optional(GivenTime),
    interface: Type.Optional(text({ max: 64 })),
    keyId: Type.Optional(text({ max: 64 })),
  },
  CLOSED,
)
