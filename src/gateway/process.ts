import type { AnyElysia } from "elysia"
import { connectDatabase, connectSql } from "../../db/connection.ts"
import { loadKey } from "../../db/queries/load-key.ts"
import { loadPrices } from "../../db/queries/load-prices.ts"
import { createApp, createAppGuard } from "../app.ts"
import type { Config } from "../config.ts"
import type { Figures } from "../figures.ts"
import { createLedger } from "../ledger/ledger.ts"
import { GATEWAY_READY_MS } from "../limits.ts"
import { createLog, type Log } from "../log.ts"
import { createMetrics, type MetricsDeps } from "../metrics.ts"
import { readLedgerFigures } from "../operations/ledger-figures.ts"
import { createAuthenticator } from "./authenticate.ts"
import { createDrain, type LeaveReason } from "./drain.ts"
import { createGateway } from "./index.ts"
import { createPriceList } from "./price.ts"
import { createRequireService } from "./require-service.ts"
import { createTokenBalance } from "./token-balance.ts"

export type RunningGateway = {
  app: ReturnType<typeof createApp>
  url: string
  port: number
  /** What this process counted. */
  figures(): Promise<Figures>
  /** Leaves without a failed call, once `leave` resolves; then it may be stopped. */
  drain(leave: () => Promise<LeaveReason>): Promise<void>
  stop(): Promise<void>
}

/** What a gateway is handed from outside of it. */
type Surroundings = {
  plugins?: readonly AnyElysia[]
  log?: Log
  gather?: MetricsDeps["gather"]
}

/**
 * Starts one gateway process: the whole HTTP surface on one port. Resolves when it listens and a
 * charge would be decided, or after GATEWAY_READY_MS if billing is away; then it answers 503.
 */
export async function startGateway(
  config: Config,
  stores: { redisUrl: string; databaseUrl: string },
  { plugins = [], log = createLog("gateway"), gather }: Surroundings = {},
): Promise<RunningGateway> {
  const sql = connectSql(stores.databaseUrl, { max: 10, applicationName: "fengate gateway" })
  const database = connectDatabase(stores.databaseUrl, {
    max: 4,
    applicationName: "fengate gateway",
  })
  const metrics = createMetrics({ readLedger: () => readLedgerFigures({ sql, ledger }), gather })
  const ledger = await createLedger({
    redisUrl: stores.redisUrl,
    sql,
    dataDir: config.dataDir,
    onBatch: metrics.batchSent,
    log,
  })
  const prices = await createPriceList(() => loadPrices(sql), log)
  const guard = createAppGuard({ sql, publicUrl: config.publicUrl })
  const { readAccount, applyPending, charge } = ledger
  const authenticator = createAuthenticator((keyHash) => loadKey(sql, keyHash), log)
  const gateway = createGateway({
    steps: {
      authenticator,
      prices,
      charge,
      applyPending,
      readAccount,
    },
    readTokenBalance: createTokenBalance({ guard, readAccount, applyPending }),
    metrics,
    publicUrl: config.publicUrl,
  })
  const drain = createDrain({ host: config.host, noticeMs: config.stopNoticeMs, log })
  const app = createApp({
    config,
    db: database.db,
    sql,
    ledger: { ...ledger, health: () => drain.health(ledger.health) },
    metrics,
    guard,
    requireService: createRequireService(authenticator),
    verifyKey: authenticator.verify,
    plugins: [gateway, ...plugins],
    log,
  })
  // Not before: the others on the port decide while this one cannot yet.
  await untilReady(ledger)
  app.listen({ hostname: config.host, port: config.port })
  const port = app.server?.port ?? config.port
  const url = `http://${config.host}:${port}`
  return { app, port, url, figures: metrics.figures, drain: (leave) => drain.run(app, leave), stop }

  /** Requests in flight finish first; then what they need may go. */
  async function stop(): Promise<void> {
    await app.stop()
    await prices.stop()
    await ledger.stop()
    await Promise.all([sql.end({ timeout: 5 }), database.sql.end({ timeout: 5 })])
  }
}

async function untilReady({ health }: { health(): Promise<{ status: string }> }): Promise<void> {
  const deadlineAt = performance.now() + GATEWAY_READY_MS
  while ((await health()).status !== "ready" && performance.now() < deadlineAt) {
    await Bun.sleep(10)
  }
}
