import { afterAll, afterEach, beforeAll } from "bun:test"
import type { AnyElysia } from "elysia"
import type { Sql } from "../../db/connection.ts"
import { bootstrap } from "../../src/accounts/bootstrap.ts"
import type { createApp } from "../../src/app.ts"
import { readConfig } from "../../src/config.ts"
import { startGateway } from "../../src/gateway/process.ts"
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
  /** Where the gateway and the flusher find their stores: behind relays. */
  through?(stores: Stores): Promise<{ redisUrl?: string; databaseUrl?: string }>
}

const ADMIN = { email: "admin@example.com", password: "a password for tests" }

export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const stores = await startStores()
  const found = { ...stores, ...(await options.through?.(stores)) }
  const { redisUrl } = found
  const flusher = { redisUrl, databaseUrl: found.databaseUrl }
  const ledger = await startLedger(stores, { flusher })
  const { databaseUrl } = stores
  await bootstrap({ databaseUrl, admin: ADMIN, embedded: true, loopback: true })
  const log: string[] = []
  const { registrationsPerHour = 100_000, trustedProxies = [], metricsToken = null } = options
  const publicUrl = options.publicUrl ?? "http://fengate.test"
  const { dataDir } = stores
  const config = { ...readConfig({}), port: 0, publicUrl, trustedProxies, metricsToken, dataDir }
  const gateway = await startGateway({ ...config, registrationsPerHour }, found, {
    plugins: options.plugins ?? [],
    log: (line) => void log.push(line),
  })
  const { app, url } = gateway
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
      await gateway.stop()
      await ledger.stop()
      await stores.stop()
    },
  }
}

/** Requests of a program that listens at `url`. */
export function createRequest(url: string): System["request"] {
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

export async function register(request: System["request"]) {
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
