import { ROLES, type Role, UPSTREAM_CALLS } from "./children.ts"
import { ConfigError, readConfig } from "./config.ts"
import { codeOf, StartRefused } from "./embedded/processes.ts"
import { startFlusherProcess } from "./flusher/process.ts"
import { startGateway } from "./gateway/process.ts"
import { GATEWAY_STOP_TIMEOUT_MS, STOP_TIMEOUT_MS } from "./limits.ts"
import { createLog } from "./log.ts"
import { LedgerRefused } from "./recovery/requirements.ts"
import { stopRequested } from "./signals.ts"
import { connectSupervisor } from "./supervised.ts"
import { startEverything } from "./supervisor.ts"
import { messageOf } from "./ticker.ts"

/**
 * `bun src/main.ts` starts everything; `bun src/main.ts gateway` or `flusher` one role on servers
 * that run already. A signal stops it in order.
 */
try {
  process.exit(await main(process.argv[2]))
} catch (error) {
  process.stderr.write(`${sentenceFor(error)}\n`)
  process.exit(1)
}

async function main(argument: string | undefined): Promise<number> {
  if (argument === undefined) return await supervise()
  const role = ROLES.find((name) => name === argument)
  if (role === undefined) {
    throw new ConfigError(`There is no role "${argument}": name ${ROLES.join(" or ")}, or none.`)
  }
  return await runRole(role)
}

async function supervise(): Promise<number> {
  const config = readConfig(process.env)
  const log = createLog("supervisor")
  let isStopping = false
  const stopping = stopRequested().then(() => {
    isStopping = true
    // Whatever hangs, a start-up too, must not outlast its roles' and stores' own timeouts.
    setTimeout(() => process.exit(1), GATEWAY_STOP_TIMEOUT_MS + 3 * STOP_TIMEOUT_MS).unref()
    return null
  })
  const everything = await startEverything({
    config,
    env: process.env,
    log,
    isStopping: () => isStopping,
  })
  if (everything === null) return 0
  if (!isStopping) process.stdout.write(everything.banner)
  const lost = await Promise.race([stopping, everything.lost])
  if (lost !== null) log(lost)
  await everything.stop()
  return lost === null ? 0 : 1
}

async function runRole(role: Role): Promise<number> {
  const config = readConfig(process.env)
  const { stores } = config
  if (stores === null) {
    throw new ConfigError(`The role ${role} needs REDIS_URL and DATABASE_URL: set both.`)
  }
  if (role === "gateway") beginAnewWith(UPSTREAM_CALLS)
  const stopping = stopRequested()
  const supervisor = connectSupervisor()
  if (role === "flusher") {
    const { dataDir } = config
    const flusher = await startFlusherProcess({ ...stores, dataDir }, createLog("flusher"))
    supervisor?.ready()
    await stopping
    await flusher.stop()
    return 0
  }
  const own = { ...stores, redisUrl: stores.gatewayRedisUrl }
  const gateway = await startGateway(config, own, { gather: supervisor?.gather })
  supervisor?.answerWith(gateway.figures)
  supervisor?.ready()
  await stopping
  await gateway.drain(supervisor?.leave ?? (async () => "stopping"))
  await gateway.stop()
  await supervisor?.tellLast(await gateway.figures())
  return 0
}

/** The same process with more in its environment, unless it is there: Bun reads it at its start. */
function beginAnewWith(more: Readonly<Record<string, string>>): void {
  if (Object.keys(more).every((name) => process.env[name] !== undefined)) return
  const words = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve?.(process.execPath, words, { ...process.env, ...more })
}

/** What is expected to happen is one sentence; what is not keeps its stack. */
function sentenceFor(error: unknown): string {
  const isExpected = [ConfigError, StartRefused, LedgerRefused].some(
    (kind) => error instanceof kind,
  )
  if (isExpected) return messageOf(error)
  // An error of the system or of a server, such as ECONNREFUSED.
  if (codeOf(error) !== "") return `Fengate could not start: ${messageOf(error)}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
