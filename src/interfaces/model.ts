import { type Static, Type } from "@sinclair/typebox"
import type { ListedInterface } from "../../db/queries/list-interfaces.ts"
import { CLOSED, Cny, GivenFen, money, text } from "../http/fields.ts"
import {
  INTERFACE_BODY_BYTES_MAX,
  UPSTREAM_TIMEOUT_MS_MAX,
  UPSTREAM_TIMEOUT_MS_MIN,
} from "../limits.ts"
import { parseFen } from "../money.ts"

/** Words in lower case, with dots between them. */
const Id = Type.String({
  pattern: "^[a-z][a-z0-9_]*(\\.[a-z0-9_]+)*$",
  maxLength: 64,
  description: "words of a to z, 0 to 9 and _, with dots between them",
  examples: ["image.resize"],
})
const Method = Type.Union(
  ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANY"].map((each) =>
    Type.Literal(each),
  ),
  { description: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, or ANY of them" },
)
const Path = Type.String({
  maxLength: 500,
  description:
    "a path; {name} or :name stands for one segment, * at its end for the rest: /api/images/{id}",
  examples: ["/api/images/{id}"],
})
const ChargeOn = Type.String({
  pattern: "^(2xx|always|[2-5][0-9]{2}(,[2-5][0-9]{2}){0,99})$",
  description: "2xx, always, or statuses such as 200,201,404: which of the upstream's answers cost",
  examples: ["2xx"],
})
const UpstreamUrl = Type.String({
  maxLength: 500,
  description: "an http or https URL; the call's path after /api, and its query, are put behind it",
  examples: ["https://images.example.com/v2"],
})
const TimeoutMs = Type.Integer({
  minimum: UPSTREAM_TIMEOUT_MS_MIN,
  maximum: UPSTREAM_TIMEOUT_MS_MAX,
  description: "how long the upstream may take until its answer begins, in ms",
})
const BodyBytesMax = Type.Integer({
  minimum: 0,
  maximum: INTERFACE_BODY_BYTES_MAX,
  description: "how long the body of a call may be, in bytes",
})
const Name = text({ max: 100, example: "Resize an image" })

const optional = {
  chargeOn: Type.Optional(ChargeOn),
  upstreamUrl: Type.Optional(Type.Union([UpstreamUrl, Type.Null()])),
  timeoutMs: Type.Optional(TimeoutMs),
  bodyBytesMax: Type.Optional(BodyBytesMax),
}

export const NewInterface = Type.Object(
  { id: Id, name: Name, method: Method, path: Path, priceFen: GivenFen, ...optional },
  {
    ...CLOSED,
    examples: [
      {
        id: "image.resize",
        name: "Resize an image",
        method: "POST",
        path: "/api/images/{id}",
        priceFen: 5,
        upstreamUrl: "https://images.example.com/v2",
      },
    ],
  },
)
export type GivenInterface = Static<typeof NewInterface>

export const InterfaceChange = Type.Object(
  {
    name: Type.Optional(Name),
    method: Type.Optional(Method),
    path: Type.Optional(Path),
    priceFen: Type.Optional(GivenFen),
    ...optional,
  },
  { ...CLOSED, minProperties: 1, examples: [{ priceFen: 2 }] },
)
export type GivenChange = Static<typeof InterfaceChange>

const priced = {
  id: Type.String(),
  name: Type.String(),
  method: Type.String(),
  path: Type.String(),
  priceFen: GivenFen,
  price: Cny,
  chargeOn: Type.String({ description: "which answers of the upstream are charged" }),
}

/** What everybody may know of an interface. */
export const Price = Type.Object(priced, CLOSED)

/** What an administrator knows of it. */
export const Interface = Type.Object(
  {
    ...priced,
    upstreamUrl: Type.Union([UpstreamUrl, Type.Null()], {
      description: "null: calls of /api are not forwarded; it can be charged for",
    }),
    timeoutMs: TimeoutMs,
    bodyBytesMax: BodyBytesMax,
  },
  CLOSED,
)

export const InterfaceParams = Type.Object({ id: Id })

export function viewInterface({ priceFen, bodyBytesMax, ...rest }: ListedInterface) {
  return {
    ...rest,
    ...money("price", parseFen(priceFen)),
    bodyBytesMax: Number(bodyBytesMax),
  }
}
