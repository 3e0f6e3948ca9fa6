import type { AnyElysia } from "elysia"
import { connectDatabase, connectSql, type Sql } from "../../db/connection.ts"
import { addUnpaid } from "../../db/queries/add-unpaid.ts"
import { listenInterfaces } from "../../db/queries/listen-interfaces.ts"
import { loadAccount } from "../../db/queries/load-account.ts"
import { loadInterfaces } from "../../db/queries/load-interfaces.ts"
import { loadKey } from "../../db/queries/load-key.ts"
import { loadServiceKey } from "../../db/queries/load-service-key.ts"
import { createApp, createAppGuard } from "../app.ts"
import type { Config } from "../config.ts"
import { within } from "../deadline.ts"
import type { Figures } from "../figures.ts"
import { createClientAddress, createReached } from "../http/address.ts"
import type { Guard } from "../http/authenticate.ts"
import { createDoor, type RequireCredential } from "../http/door.ts"
import { createPastEdge } from "../http/past-edge.ts"
import { createRecordGate } from "../http/record-gate.ts"
import { createLedger, type Ledger } from "../ledger/ledger.ts"
import { GATEWAY_READY_MS, POSTGRES_CONNECTIONS_MAX } from "../limits.ts"
import { createLog, type Log } from "../log.ts"
import { createMetrics, type Metrics, type MetricsDeps } from "../metrics.ts"
import { readLedgerFigures } from "../operations/ledger-figures.ts"
import { createApi } from "./api.ts"
import { createAuthenticator } from "./authenticate.ts"
import type { CallSteps } from "./call.ts"
import { createDrain, type LeaveReason } from "./drain.ts"
import { createGateway } from "./index.ts"
import { createInterfaces, type Interfaces } from "./interfaces.ts"
import { acceptAtOnce } from "./listener.ts"
import { createRefuser } from "./refuse.ts"
import { createRequireService, createVerifyKey } from "./require-service.ts"
import { createTokenBalance } from "./token-balance.ts"
import { createUnpaid, type Unpaid } from "./unpaid.ts"

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
  const applicationName = "fengate gateway"
  const max = connectionsOf(config.gateways)
  const recordGate = createRecordGate(() => ledger.isRecordBehind())
  const pool = { applicationName, onClose: recordGate.doubt }
  const sql = connectSql(stores.databaseUrl, { ...pool, max })
  const database = connectDatabase(stores.databaseUrl, { ...pool, max: Math.ceil(max / 3) })
  const metrics = createMetrics({ readLedger: () => readLedgerFigures({ sql, ledger }), gather })
  const ledger = await createLedger({
    redisUrl: stores.redisUrl,
    sql,
    ...{ dataDir: config.dataDir, wait: config.wait },
    onBatch: metrics.batchSent,
    log,
  })
  const clientAddress = createClientAddress(config.trustedProxies)
  const addressOf = (request: Request) => clientAddress(request, app.server)
  const steps = await createSteps({ sql, ledger, addressOf, log })
  const { prices: interfaces, authenticator } = steps
  const unpaid = createUnpaid({ addUnpaid: (counts) => addUnpaid(sql, counts), log })
  const guard = createAppGuard({ sql, publicUrl: config.publicUrl })
  const requireService = createRequireService(authenticator)
  const verifyKey = createVerifyKey(authenticator)
  const requireCredential = createDoor({ guard, requireService, verifyKey })
  const hot = createHotPath({ config, steps, metrics, unpaid, guard, requireCredential, log })
  const drain = createDrain({ host: config.host, noticeMs: config.stopNoticeMs, log })
  const app = createApp({
    config,
    db: database.db,
    sql,
    ledger: { ...ledger, health: () => drain.health(ledger.health) },
    interfaces,
    metrics,
    guard,
    requireService,
    requireCredential,
    recordGate,
    routes: hot.routes,
    plugins: [...hot.plugins, ...plugins],
    log,
  })
  // Not before: the others on the port decide while this one cannot yet.
  await Promise.all([untilReady(ledger), warm(sql, max)])
  app.listen({ hostname: config.host, port: config.port })
  const port = app.server?.port ?? config.port
  acceptAtOnce(port)
  const url = `http://${config.host}:${port}`
  return { app, port, url, figures: metrics.figures, drain: (leave) => drain.run(app, leave), stop }

  /** Requests in flight finish first; then what they need may go. */
  async function stop(): Promise<void> {
    await app.stop()
    await hot.stop()
    await interfaces.stop()
    await unpaid.stop()
    await ledger.stop()
    await Promise.all([sql.end({ timeout: 5 }), database.sql.end({ timeout: 5 })])
  }
}

type HotPathDeps = {
  config: Config
  steps: CallSteps & { prices: Interfaces }
  metrics: Metrics
  unpaid: Unpaid
  guard: Guard
  requireCredential: RequireCredential
  log: Log
}

/** What keys may call. */
function createHotPath({ config, guard, requireCredential, ...deps }: HotPathDeps) {
  const { steps, unpaid, log } = deps
  const refuser = createRefuser({ publicUrl: config.publicUrl, unpaid })
  const pastEdge = createPastEdge({ requireCredential, log })
  const readTokenBalance = createTokenBalance({ guard, ...steps })
  const gateway = createGateway({ ...deps, refuser, readTokenBalance, pastEdge })
  const reached = createReached(config.trustedProxies)
  const api = createApi({ ...deps, refuser, pastEdge, reached })
  return {
    routes: { ...gateway.routes, ...api.routes },
    plugins: [gateway.plugin, api.plugin],
    stop: api.stop,
  }
}

/** What calls are decided by. */
async function createSteps({
  sql,
  ledger,
  addressOf,
  log,
}: Pick<CallSteps, "addressOf"> & { sql: Sql; ledger: Ledger; log: Log }) {
  const interfaces = await createInterfaces({
    loadInterfaces: () => loadInterfaces(sql),
    listen: (onChange) => listenInterfaces(sql, onChange),
    log,
  })
  const authenticator = createAuthenticator({
    loadKey: (keyHash) => loadKey(sql, keyHash),
    loadServiceKey: (keyHash) => loadServiceKey(sql, keyHash),
    log,
  })
  const { readAccount, applyPending, seedCounter } = ledger
  return {
    ...{ authenticator, prices: interfaces, ledger, addressOf },
    ...{ readAccount, applyPending, seedCounter },
    hasAccount: async (accountId: string) => (await loadAccount(sql, accountId)) !== null,
  }
}

/** All gateways of an installation share what Postgres has for them; each has two at least. */
function connectionsOf(gateways: number): number {
  return Math.max(2, Math.min(10, Math.floor(POSTGRES_CONNECTIONS_MAX / gateways)))
}

/** Connects ahead of the first calls, whose keys are looked up all at once. */
async function warm(sql: Sql, connections: number): Promise<void> {
  const looks = Array.from({ length: connections }, () => sql`select 1`)
  await within(Promise.all(looks), { timeoutMs: GATEWAY_READY_MS, what: "Postgres" }).catch(
    () => undefined,
  )
}

async function untilReady({ health }: { health(): Promise<{ status: string }> }): Promise<void> {
  const deadlineAt = performance.now() + GATEWAY_READY_MS
  while ((await health()).status !== "ready" && performance.now() < deadlineAt) {
    await Bun.sleep(10)
  }
}
