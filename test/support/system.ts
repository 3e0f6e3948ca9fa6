import { afterAll, afterEach, beforeAll } from "bun:test"
import type { AnyElysia } from "elysia"
import { connectDatabase, type Sql } from "../../db/connection.ts"
import { loadKey } from "../../db/queries/load-key.ts"
import { loadPrices } from "../../db/queries/load-prices.ts"
import { bootstrap } from "../../src/accounts/bootstrap.ts"
import { createApp, createAppGuard } from "../../src/app.ts"
import { createAuthenticator } from "../../src/gateway/authenticate.ts"
import { createGateway } from "../../src/gateway/index.ts"
import { createPriceList } from "../../src/gateway/price.ts"
import { createTokenBalance } from "../../src/gateway/token-balance.ts"
import type { Guard } from "../../src/http/authenticate.ts"
import { randomChars } from "../../src/ids.ts"
import type { Ledger } from "../../src/ledger/ledger.ts"
import { startLedger } from "./ledger.ts"
import { type Stores, startStores } from "./stores.ts"

export type Answer = {
  status: number
  /** Parsed if it is JSON of any kind, else text. */
  body: ReturnType<typeof JSON.parse>
  headers: Headers
}

export type RequestOptions = {
  token?: string | undefined
  /** Sent as JSON, unless it is text, bytes or a stream: those are sent as they are. */
  body?: unknown
  headers?: Record<string, string>
}

/** The whole HTTP surface on a port of its own, on a real Postgres and a real ledger. */
export type System = {
  url: string
  sql: Sql
  stores: Stores
  ledger: Ledger
  app: ReturnType<typeof createApp>
  /** What was logged. */
  log: string[]
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>
  register(): Promise<{ accountId: string; token: string; email: string; password: string }>
  adminToken(): Promise<string>
  /** Asserts that the books, recomputed from nothing, have no finding. */
  booksBalance(): Promise<void>
  stop(): Promise<void>
}

export type SystemOptions = {
  registrationsPerHour?: number
  trustedProxies?: readonly string[]
  metricsToken?: string
  publicUrl?: string
  /** Mounted beside what the app has, as the hot path is. */
  plugins?: readonly AnyElysia[]
}

const ADMIN = { email: "admin@example.com", password: "a password for tests" }

export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const stores = await startStores()
  const ledger = await startLedger(stores)
  const { databaseUrl } = stores
  await bootstrap({ databaseUrl, admin: ADMIN, embedded: true, loopback: true })
  const { db, sql: dbSql } = connectDatabase(databaseUrl, { max: 2, applicationName: "test app" })
  const log: string[] = []
  const { registrationsPerHour = 100_000, trustedProxies = [], metricsToken = null } = options
  const publicUrl = options.publicUrl ?? "http://fengate.test"
  const note = (line: string) => void log.push(line)
  const guard = createAppGuard({ sql: stores.sql, publicUrl })
  const hotPath = await createHotPath({ sql: stores.sql, ledger: ledger.ledger, guard, publicUrl })
  const app = createApp({
    config: { publicUrl, trustedProxies, metricsToken, registrationsPerHour },
    db,
    sql: stores.sql,
    ledger: ledger.ledger,
    metrics: { text: async () => "fengate_up 1\n", contentType: "text/plain; version=0.0.4" },
    guard,
    plugins: [hotPath.plugin, ...(options.plugins ?? [])],
    log: note,
  })
  app.listen({ hostname: "127.0.0.1", port: 0, reusePort: false })
  const url = `http://127.0.0.1:${app.server?.port}`
  const request = createRequest(url)

  return {
    ...{ url, stores, app, log, request, sql: stores.sql, ledger: ledger.ledger },
    register: () => register(request),
    adminToken: async () =>
      (await request("POST", "/v1/sessions", { body: ADMIN })).body.accessToken,
    async booksBalance() {
      await ledger.books()
    },
    async stop() {
      await app.stop(true)
      await hotPath.stop()
      await dbSql.end({ timeout: 1 })
      await ledger.stop()
      await stores.stop()
    },
  }
}

/** The hot path, put together as a gateway process does it. */
async function createHotPath({
  sql,
  ledger,
  guard,
  publicUrl,
}: {
  sql: Sql
  ledger: Ledger
  guard: Guard
  publicUrl: string
}) {
  const { charge, applyPending, readAccount } = ledger
  const log = () => undefined
  const prices = await createPriceList(() => loadPrices(sql), log)
  const authenticator = createAuthenticator((keyHash) => loadKey(sql, keyHash), log)
  const plugin = createGateway({
    steps: { authenticator, prices, charge, applyPending, readAccount },
    readTokenBalance: createTokenBalance({ guard, readAccount, applyPending }),
    metrics: { chargeDecided: () => undefined },
    publicUrl,
  })
  return { plugin, stop: prices.stop }
}

function createRequest(url: string): System["request"] {
  return async (method, path, { token, body, headers = {} } = {}) => {
    const isRaw =
      typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: isRaw ? body : JSON.stringify(body) }),
      redirect: "manual",
    })
    const text = await response.text()
    const isJson = response.headers.get("content-type")?.includes("json") === true
    const { status, headers: received } = response
    return { status, body: isJson ? JSON.parse(text) : text, headers: received }
  }
}

async function register(request: System["request"]) {
  const email = `dev-${randomChars(12)}@example.com`
  const password = `pass ${randomChars(8)}`
  const { status, body } = await request("POST", "/v1/accounts", { body: { email, password } })
  if (status !== 201) throw new Error(`registration answered ${status}: ${JSON.stringify(body)}`)
  return { accountId: body.accountId, token: body.accessToken, email, password }
}

/** One system for the tests of a file; after each of them the books of all accounts are recomputed. */
export function useSystem(options: SystemOptions = {}): () => System {
  let started: System | null = null
  const current = (): System => {
    if (started === null) throw new Error("the system is there only while tests run")
    return started
  }
  beforeAll(async () => {
    started = await startSystem(options)
  }, 30_000)
  afterEach(async () => {
    await current().booksBalance()
  })
  afterAll(async () => {
    await started?.stop()
  })
  return current
}
