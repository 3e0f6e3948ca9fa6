import { mkdirSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { totalmem } from "node:os"
import { join, resolve } from "node:path"
import { GATEWAY_COMMANDS } from "../ledger/redis.ts"
import { STOP_TIMEOUT_MS } from "../limits.ts"
import {
  endsWithParent,
  freePort,
  lastLineOf,
  type Running,
  readIfThere,
  StartRefused,
  spawnServer,
  stopChild,
  stopLeftover,
} from "./processes.ts"

export type RedisServer = Running & { url: string; port: number }

type RedisOptions = {
  dir: string
  /** A free one if none is given. */
  port?: number | undefined
  password?: string | undefined
  /** Of the user "gateway", who may do what gateways do; without one there is no such user. */
  gatewayPassword?: string | undefined
  log?: ((sentence: string) => void) | undefined
}

const PING_TIMEOUT_MS = 1_000
const LOADING_REPORT_MS = 2_000

/** Starts redis-server on loopback, with every write on disk before it is answered. */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const dir = resolve(options.dir)
  const config = join(dir, "redis.conf")
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const leftover = Number(readIfThere(join(dir, "redis.pid")) ?? Number.NaN)
  await stopLeftover({ pid: leftover, path: config, signal: "SIGTERM", timeoutMs: STOP_TIMEOUT_MS })

  const { password, gatewayPassword, log = () => {} } = options
  const port = options.port ?? (await freePort())
  // In a file, so that the password is on no command line.
  writeFileSync(config, configOf({ dir, port, password, gatewayPassword }), { mode: 0o600 })
  const child = spawnServer([...endsWithParent("TERM"), "redis-server", config], {
    dir,
    log: join(dir, "redis.log"),
  })
  if (!(await isReady({ child, port, password, log }))) {
    throw new StartRefused(`Redis did not start: ${lastLineOf(join(dir, "redis.log"))}`)
  }
  return {
    url: `redis://${password === undefined ? "" : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
    port,
    pid: child.pid,
    exited: child.exited,
    stop: () => stopChild(child, { signal: "SIGTERM", timeoutMs: STOP_TIMEOUT_MS }),
  }
}

function configOf(options: {
  dir: string
  port: number
  password: string | undefined
  gatewayPassword: string | undefined
}): string {
  const { dir, port, password, gatewayPassword } = options
  return [
    "bind 127.0.0.1",
    `port ${port}`,
    "protected-mode yes",
    `dir ${quoted(dir)}`,
    `pidfile ${quoted(join(dir, "redis.pid"))}`,
    // The command line keeps the name of this file, by which a later start knows its own.
    "set-proc-title no",
    "appendonly yes",
    "appendfsync always",
    "no-appendfsync-on-rewrite no",
    "aof-use-rdb-preamble yes",
    'save ""',
    "maxmemory-policy noeviction",
    "lazyfree-lazy-user-del yes",
    // Half of the machine's: charges are refused long before it is all used.
    `maxmemory ${Math.floor(totalmem() / 2)}`,
    ...(password === undefined ? [] : [`requirepass ${quoted(password)}`]),
    ...(gatewayPassword === undefined
      ? []
      : [`user gateway on >${gatewayPassword} ~* resetchannels -@all ${GATEWAY_COMMANDS}`]),
    "",
  ].join("\n")
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`
}

/** True when it answers; false when it exited first. A large append-only file takes its time. */
async function isReady(options: {
  child: { pid: number; exited: Promise<unknown>; exitCode: number | null; signalCode: unknown }
  port: number
  password: string | undefined
  log: (sentence: string) => void
}): Promise<boolean> {
  const { child, port, password, log } = options
  const report = setTimeout(() => log("Redis reads its data."), LOADING_REPORT_MS)
  try {
    while (child.exitCode === null && child.signalCode === null) {
      const answer = await ping(port, password)
      // Another Redis on the port would answer as well.
      if (answer.includes("+PONG") && answer.includes(`process_id:${child.pid}\r`)) return true
      await Promise.race([child.exited, Bun.sleep(3)])
    }
    return false
  } finally {
    clearTimeout(report)
  }
}

/** What Redis answers: nothing while it does not listen, `-LOADING` to PING while it reads. */
function ping(port: number, password: string | undefined): Promise<string> {
  return new Promise((resolve) => {
    let answer = ""
    const socket = connect({ host: "127.0.0.1", port })
    socket.setTimeout(PING_TIMEOUT_MS, () => socket.destroy())
    socket.on("connect", () => {
      socket.write(
        `${password === undefined ? "" : `AUTH ${quoted(password)}\r\n`}PING\r\nINFO server\r\n`,
      )
    })
    socket.on("data", (bytes) => {
      answer += bytes.toString()
      if (/process_id:\d+\r|-NOAUTH|-WRONGPASS/.test(answer)) socket.destroy()
    })
    // Refused while it does not listen yet: "close" follows.
    socket.on("error", () => {})
    socket.on("close", () => resolve(answer))
  })
}
