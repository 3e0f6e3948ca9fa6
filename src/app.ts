import type { AnyElysia } from "elysia"
import type { Database, Sql } from "../db/connection.ts"
import { loadSession } from "../db/queries/load-session.ts"
import { accountRoutes } from "./accounts/routes.ts"
import { adminRoutes } from "./admin/routes.ts"
import { changeRoutes } from "./changes/routes.ts"
import type { Config } from "./config.ts"
import type { Interfaces } from "./gateway/interfaces.ts"
import { createClientAddress } from "./http/address.ts"
import { createAttempts } from "./http/attempts.ts"
import { createGuard, type Guard } from "./http/authenticate.ts"
import type { RequireCredential, RequireService } from "./http/door.ts"
import { createEdge } from "./http/edge.ts"
import type { Routes } from "./http/past-edge.ts"
import type { RecordGate } from "./http/record-gate.ts"
import { interfaceRoutes } from "./interfaces/routes.ts"
import { keyRoutes } from "./keys/routes.ts"
import type { Ledger } from "./ledger/ledger.ts"
import type { Log } from "./log.ts"
import type { Metrics } from "./metrics.ts"
import { documentRoutes } from "./operations/openapi.ts"
import { operationRoutes } from "./operations/routes.ts"
import { createPasswords } from "./passwords.ts"
import { redemptionRoutes } from "./redemption/routes.ts"
import { reversalRoutes } from "./reversals/routes.ts"
import { serviceKeyRoutes } from "./services/routes.ts"
import { sessionRoutes } from "./sessions/routes.ts"

export type AppDeps = {
  config: Pick<Config, "publicUrl" | "trustedProxies" | "metricsToken" | "registrationsPerHour">
  db: Database
  /** The raw client of the account plane. */
  sql: Sql
  ledger: Pick<Ledger, "applyPending" | "readAccount" | "raiseServices" | "health">
  interfaces: Pick<Interfaces, "refresh">
  metrics: Pick<Metrics, "text" | "contentType">
  guard: Guard
  requireService: RequireService
  requireCredential: RequireCredential
  recordGate: RecordGate
  /** What is answered past the framework. */
  routes: Routes
  /** The hot path, and whatever else is made outside. */
  plugins: readonly AnyElysia[]
  log: Log
}

const VERSION = "0.1.0"

/** Every route of the HTTP surface. All are closed but those in `http/open-routes.ts`. */
export function createApp(deps: AppDeps) {
  const { config, db, sql, ledger, interfaces, metrics, guard, requireService, plugins, log } = deps
  const { publicUrl, metricsToken, registrationsPerHour } = config
  const clientAddress = createClientAddress(config.trustedProxies)
  const attempts = createAttempts(sql)
  const passwords = createPasswords()
  const app = createEdge({ log, requireCredential: deps.requireCredential, routes: deps.routes })
  for (const plugin of plugins) app.use(plugin)
  return (
    app
      // The framework waits for functions that are async by name; a promise of another is an answer.
      .onBeforeHandle(async ({ request: { method } }) => {
        if (method !== "GET" && method !== "HEAD") await deps.recordGate.require()
      })
      .use(
        accountRoutes({
          sql,
          ledger,
          attempts,
          passwords,
          registrationsPerHour,
          guard,
          clientAddress,
        }),
      )
      .use(sessionRoutes({ sql, attempts, passwords, guard, clientAddress, publicUrl }))
      .use(keyRoutes({ sql, ledger, guard }))
      .use(interfaceRoutes({ db, sql, guard, clientAddress, onChange: interfaces.refresh }))
      .use(changeRoutes({ db, guard }))
      .use(redemptionRoutes({ sql, ledger, guard }))
      .use(reversalRoutes({ sql, db, ledger, requireService }))
      .use(serviceKeyRoutes({ sql, ledger, guard, clientAddress }))
      .use(adminRoutes({ sql, guard, clientAddress }))
      .use(operationRoutes({ sql, ledger, metrics, metricsToken, clientAddress }))
      .use(documentRoutes({ app, version: VERSION }))
  )
}

export function createAppGuard({ sql, publicUrl }: { sql: Sql; publicUrl: string }): Guard {
  return createGuard({ publicUrl, loadSession: (tokenHash) => loadSession(sql, tokenHash) })
}
