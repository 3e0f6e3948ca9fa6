import { Type } from "@sinclair/typebox"
import type { Sql } from "../../db/connection.ts"
import { Problem } from "../errors.ts"
import { type AddressSource, type ClientAddress, isLoopbackAddress } from "../http/address.ts"
import { CLOSED } from "../http/fields.ts"
import { createPlugin, describe } from "../http/route.ts"
import { isSameSecret } from "../ids.ts"
import type { Health, Ledger } from "../ledger/ledger.ts"
import type { Metrics } from "../metrics.ts"
import { createReadiness } from "./readiness.ts"

const TAG = "Operations"

const State = Type.Object(
  {
    status: Type.String({ description: "ready or unavailable" }),
    reasons: Type.Optional(Type.Array(Type.String(), { description: "with ?verbose" })),
    postgres: Type.Optional(
      Type.String({ description: "with ?verbose: reachable or unreachable" }),
    ),
  },
  CLOSED,
)

const Word = Type.Optional(Type.String({ maxLength: 16 }))

export type OperationsDeps = {
  sql: Sql
  ledger: Pick<Ledger, "health">
  metrics: Pick<Metrics, "text" | "contentType">
  metricsToken: string | null
  clientAddress: ClientAddress
}

export function operationRoutes(deps: OperationsDeps) {
  return createPlugin().use(healthRoutes(deps)).use(metricRoutes(deps))
}

function healthRoutes(deps: OperationsDeps) {
  const readiness = createReadiness(deps)
  return createPlugin()
    .get("/livez", () => ({ status: "live" }), {
      response: { 200: Type.Object({ status: Type.String() }, CLOSED) },
      ...describe({ tag: TAG, summary: "The process runs" }),
    })
    .get(
      "/readyz",
      async ({ query: { any, verbose }, status }) => {
        const codeOf = (health: Health) => {
          if (health.status === "ready") return 200
          return any !== undefined && health.isPartial ? 200 : 503
        }
        if (verbose === undefined) {
          const health = await readiness.ledger()
          return status(codeOf(health), { status: health.status })
        }
        const health = await readiness.all()
        const reasons = health.status === "ready" ? [] : health.reasons
        const { status: state, postgres } = health
        return status(codeOf(health), { status: state, reasons, postgres })
      },
      {
        query: Type.Object({ any: Word, verbose: Word }, CLOSED),
        response: { 200: State, 503: State },
        ...describe({
          tag: TAG,
          summary:
            "200 when a charge would work, whosever it is; with ?any when some would; else 503",
        }),
      },
    )
}

function metricRoutes({ metrics, metricsToken, clientAddress }: OperationsDeps) {
  return createPlugin().get(
    "/metrics",
    async ({ request, server, set }) => {
      if (!isLocal(request, server, clientAddress)) requireToken(request.headers, metricsToken)
      set.headers["content-type"] = metrics.contentType
      return await metrics.text()
    },
    { ...describe({ tag: TAG, summary: "Prometheus, on loopback or with METRICS_TOKEN" }) },
  )
}

/** Behind a proxy that is not trusted everyone's socket is on loopback: that is not local. */
function isLocal(request: Request, server: AddressSource, clientAddress: ClientAddress): boolean {
  const socket = server?.requestIP(request)?.address ?? ""
  const client = clientAddress(request, server)
  const isForwarded = request.headers.has("x-forwarded-for") || request.headers.has("forwarded")
  return isLoopbackAddress(client) && !(isForwarded && client === socket)
}

function requireToken(headers: Headers, metricsToken: string | null): void {
  if (metricsToken === null) throw new Problem("not_found")
  const authorization = headers.get("authorization")
  if (authorization === null) throw new Problem("missing_credential")
  if (isSameSecret(authorization.replace(/^Bearer +/i, ""), metricsToken)) return
  throw new Problem("invalid_credential", { detail: "This is not the METRICS_TOKEN." })
}
