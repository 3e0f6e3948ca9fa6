import { migrate } from "../db/migrate.ts"
import { bootstrap } from "./accounts/bootstrap.ts"
import { type Role, startRole, UPSTREAM_CALLS } from "./children.ts"
import { type Config, isLoopback } from "./config.ts"
import { composeBanner } from "./embedded/banner.ts"
import { startEmbeddedStores } from "./embedded/index.ts"
import { bindError, StartRefused } from "./embedded/processes.ts"
import { createGathering } from "./gathering.ts"
import { randomChars } from "./ids.ts"
import type { Log } from "./log.ts"
import { startKeeper } from "./recovery/keeper.ts"
import { allOrNone, keepRunning } from "./restarts.ts"

/**
 * Starts everything in the order in which it depends on each other, and stops it in reverse:
 * stores, schema, ledger, first accounts, then the flusher and the gateways as processes of their
 * own, which are started again when they end by themselves.
 */

const KEEPER_STOP_TIMEOUT_MS = 2_000

type Stop = () => Promise<void>
type Stores = { redisUrl: string; gatewayRedisUrl: string; databaseUrl: string }
type Environment = Record<string, string | undefined>

export type Everything = {
  banner: string
  /** Resolves with a sentence when something ended that cannot be started again. */
  lost: Promise<string>
  stop: Stop
}

type Start = {
  config: Config
  env: Environment
  log: Log
  /** True once a signal has asked to stop: nothing more is started then. */
  isStopping(): boolean
}

/** Null when it was asked to stop before everything ran. Leaves nothing behind when it throws. */
export async function startEverything(start: Start): Promise<Everything | null> {
  const stops: Stop[] = []
  const stop = async (): Promise<void> => {
    for (const stopOne of stops.splice(0).toReversed()) await stopOne()
  }
  try {
    const running = await startInOrder(start, stops)
    if (running !== null) return { ...running, stop }
    await stop()
    return null
  } catch (error) {
    await stop()
    throw error
  }
}

async function startInOrder(start: Start, stops: Stop[]): Promise<Omit<Everything, "stop"> | null> {
  const { config, env, log, isStopping } = start
  await requirePort(config)
  const { stores, lost, stop: stopStores } = await openStores(config, log)
  stops.push(stopStores)
  if (isStopping()) return null
  await migrate(stores.databaseUrl)
  const keeper = await startKeeper({ ...stores, partitions: config.partitions, log })
  // It may wait for a server that is gone; nothing that it holds would be lost.
  stops.push(() => Promise.race([keeper.stop(), Bun.sleep(KEEPER_STOP_TIMEOUT_MS)]))
  if (isStopping()) return null
  const isEmbedded = config.stores === null
  const { madeAdmin } = await bootstrap({
    databaseUrl: stores.databaseUrl,
    admin: config.admin,
    embedded: isEmbedded,
    loopback: isLoopback(config.host),
  })
  stops.push(await startRoles({ config, envOf: (role) => roleEnvironment(role, env, stores), log }))
  const hasTrialCode = isEmbedded && isLoopback(config.host)
  const trial = { email: `try-${randomChars(8)}@example.com`, password: randomChars(12) }
  return { lost, banner: composeBanner({ url: config.publicUrl, madeAdmin, trial, hasTrialCode }) }
}

async function openStores(
  { stores, dataDir }: Config,
  log: Log,
): Promise<{ stores: Stores; lost: Promise<string>; stop: Stop }> {
  if (stores !== null) return { stores, lost: new Promise(() => {}), stop: async () => {} }
  const embedded = await startEmbeddedStores({ dataDir, onProgress: log })
  const { redisUrl, gatewayRedisUrl, databaseUrl, exited, stop } = embedded
  return { stores: { redisUrl, gatewayRedisUrl, databaseUrl }, lost: exited, stop }
}

/** The gateways stop first and drain; what they decided is flushed before the flusher stops. */
async function startRoles(options: {
  config: Config
  envOf(role: Role): Environment
  log: Log
}): Promise<Stop> {
  const { config, envOf, log } = options
  const gathering = createGathering()
  const keep = (role: Role, name: string) =>
    keepRunning({
      name,
      start: () => startRole(role, { env: envOf(role), gathering }),
      report: log,
      failuresMax: Number.POSITIVE_INFINITY,
    })
  const flusher = keep("flusher", "The flusher")
  const gateways = Array.from({ length: config.gateways }, () => keep("gateway", "A gateway"))
  await allOrNone([flusher, ...gateways])
  return async () => {
    await Promise.all(gateways.map(async (gateway) => (await gateway).stop()))
    await (await flusher).stop()
  }
}

/** A gateway is told of no Redis user but its own. */
function roleEnvironment(
  role: Role,
  { ADMIN_EMAIL: _email, ADMIN_PASSWORD: _password, REDIS_GATEWAY_URL: _url, ...env }: Environment,
  { redisUrl, gatewayRedisUrl, databaseUrl }: Stores,
): Environment {
  return {
    ...UPSTREAM_CALLS,
    ...env,
    REDIS_URL: role === "gateway" ? gatewayRedisUrl : redisUrl,
    DATABASE_URL: databaseUrl,
  }
}

/** The gateways share their port, so that a second program on it would start without an error. */
async function requirePort({ host, port }: Config): Promise<void> {
  const code = await bindError({ host, port })
  if (code === null) return
  if (code === "EADDRINUSE") {
    throw new StartRefused(
      `PORT ${port} on ${host} is in use by another program: stop it or set PORT.`,
    )
  }
  if (code === "EACCES") {
    throw new StartRefused(`PORT ${port} needs privileges that this user lacks: set another PORT.`)
  }
  throw new StartRefused(`HOST ${host} is not an address of this machine (${code}): set HOST.`)
}
