import { isIP } from "node:net"
import { availableParallelism } from "node:os"
import { resolve } from "node:path"
import { STOP_NOTICE_SECONDS_MAX, WAIT_MS_MAX } from "./limits.ts"
import { seedUrls } from "./redis-url.ts"

/**
 * The only reader of the environment. A wrong value stops the start with one sentence that says what
 * to change.
 */

export type Config = Readonly<{
  host: string
  port: number
  /** Where clients reach this installation, without a trailing slash. */
  publicUrl: string
  /** Addresses (exact) of reverse proxies whose `X-Forwarded-For` is believed. */
  trustedProxies: readonly string[]
  /** Null: the program starts its own stores under `dataDir`. */
  stores: {
    redisUrl: string
    databaseUrl: string
    /** The same Redis, for gateways: its user may do nothing but decide (src/ledger/README.md). */
    gatewayRedisUrl: string
  } | null
  dataDir: string
  /** How many replicas of Redis must have a charge before it is answered, and within which time. */
  wait: { replicas: number; timeoutMs: number }
  partitions: number
  gateways: number
  /** How long calls are still taken after a stop was asked for, while /readyz says 503 already. */
  stopNoticeMs: number
  admin: { email: string; password: string } | null
  /** With it `/metrics` answers to `Authorization: Bearer`; without it only on loopback. */
  metricsToken: string | null
  registrationsPerHour: number
}>

/** A setting that cannot be used. Its message is the whole sentence that the operator reads. */
export class ConfigError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>

export function readConfig(env: Environment): Config {
  const host = env.HOST || "127.0.0.1"
  const port = integer(env, "PORT", { fallback: 8787, min: 1, max: 65_535 })
  const stores = readStores(env)
  return Object.freeze({
    host,
    port,
    publicUrl: readPublicUrl(env, host, port),
    trustedProxies: readAddresses(env, "TRUSTED_PROXIES"),
    stores,
    dataDir: resolve(env.DATA_DIR || ".data"),
    wait: {
      replicas: integer(env, "REDIS_WAIT_REPLICAS", { fallback: 0, min: 0, max: 16 }),
      timeoutMs: integer(env, "REDIS_WAIT_MS", { fallback: 100, min: 1, max: WAIT_MS_MAX }),
    },
    partitions: integer(env, "PARTITIONS", { fallback: 1, min: 1, max: 1_024 }),
    gateways: integer(env, "GATEWAYS", {
      fallback: Math.min(256, Math.max(1, availableParallelism())),
      min: 1,
      max: 256,
    }),
    // Whoever tries it on loopback has no load balancer, and does not want to wait.
    stopNoticeMs:
      1_000 *
      integer(env, "STOP_NOTICE_SECONDS", {
        fallback: isLoopback(host) ? 0 : 5,
        min: 0,
        max: STOP_NOTICE_SECONDS_MAX,
      }),
    admin: readAdmin(env),
    metricsToken: env.METRICS_TOKEN || null,
    // On loopback everybody has one address: whoever tries it, or all that a proxy in front forwards.
    registrationsPerHour: integer(env, "REGISTRATIONS_PER_HOUR", {
      fallback: isLoopback(host) ? 5_000 : 100,
      min: 1,
      max: 1_000_000,
    }),
  })
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function readStores(env: Environment): Config["stores"] {
  const { REDIS_URL: redisUrl, DATABASE_URL: databaseUrl } = env
  if (!redisUrl && !databaseUrl) return null
  if (!redisUrl || !databaseUrl) {
    throw new ConfigError(
      `${redisUrl ? "REDIS_URL" : "DATABASE_URL"} is set without ${redisUrl ? "DATABASE_URL" : "REDIS_URL"}: set both to use your own servers, or neither to have them started.`,
    )
  }
  requireRedisUrls("REDIS_URL", redisUrl)
  requireUrl("DATABASE_URL", databaseUrl, ["postgres:", "postgresql:"])
  const gatewayRedisUrl = env.REDIS_GATEWAY_URL || redisUrl
  requireRedisUrls("REDIS_GATEWAY_URL", gatewayRedisUrl)
  return { redisUrl, databaseUrl, gatewayRedisUrl }
}

/** One server, or nodes of a Cluster. */
function requireRedisUrls(name: string, value: string): void {
  let urls = [value]
  try {
    urls = seedUrls(value)
  } catch {
    // What is no URL is refused below.
  }
  for (const url of urls) requireUrl(name, url, ["redis:", "rediss:"])
}

/** Never repeats the value: it may hold a password. */
function requireUrl(name: string, value: string, protocols: readonly string[]): URL {
  const url = URL.canParse(value) ? new URL(value) : null
  if (url === null || !protocols.includes(url.protocol)) {
    throw new ConfigError(`${name} must be a URL that begins with ${protocols.join("// or ")}//.`)
  }
  return url
}

function readPublicUrl(env: Environment, host: string, port: number): string {
  if (!env.PUBLIC_URL) return `http://${host.includes(":") ? `[${host}]` : host}:${port}`
  return requireUrl("PUBLIC_URL", env.PUBLIC_URL, ["http:", "https:"]).href.replace(/\/+$/, "")
}

function readAdmin(env: Environment): Config["admin"] {
  const { ADMIN_EMAIL: email, ADMIN_PASSWORD: password } = env
  if (!email && !password) return null
  if (!email || !password) {
    throw new ConfigError("ADMIN_EMAIL and ADMIN_PASSWORD must be set together, or neither.")
  }
  if (!/^[^@\s]+@[^@\s]+$/.test(email))
    throw new ConfigError("ADMIN_EMAIL must be an e-mail address.")
  if (password.length < 8) throw new ConfigError("ADMIN_PASSWORD must have 8 characters or more.")
  return { email, password }
}

function readAddresses(env: Environment, name: string): readonly string[] {
  const addresses = (env[name] ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
  const wrong = addresses.find((address) => isIP(address) === 0)
  if (wrong !== undefined)
    throw new ConfigError(`${name} must list IP addresses; "${wrong}" is none.`)
  return addresses
}

function integer(
  env: Environment,
  name: string,
  { fallback, min, max }: { fallback: number; min: number; max: number },
): number {
  const text = env[name]
  if (text === undefined || text === "") return fallback
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) {
    throw new ConfigError(`${name} must be a whole number from ${min} to ${max}; it is "${text}".`)
  }
  return value
}
