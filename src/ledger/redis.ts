import { Redis } from "ioredis"

export type ConnectOptions = { name: string; commandTimeoutMs: number }

/**
 * The connection through which money moves, and what its errors mean.
 *
 * ioredis with its default options sends a script again when the connection is cut before the
 * reply, and the charge is taken twice without an error (reproduced; LIBRARIES, "ioredis 6").
 * With these options a command is sent once, and whoever sent it decides what its error means.
 */
export function connectRedis(redisUrl: string, { name, commandTimeoutMs }: ConnectOptions): Redis {
  const redis = new Redis(redisUrl, {
    // Redis refuses names with spaces, and ioredis does not say so.
    connectionName: name.replaceAll(" ", "-"),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableAutoPipelining: false,
    enableReadyCheck: false,
    commandTimeout: commandTimeoutMs,
    // A connection that died without a sign stays "ready" for ever; it is replaced instead.
    socketTimeout: commandTimeoutMs,
    connectTimeout: 1_000,
    retryStrategy: (tries) => Math.min(25 * 2 ** Math.min(tries, 5), 500) + Math.random() * 25,
    protocol: 2,
    disableClientInfo: true,
  })
  // Every command reports its own failure; without a listener ioredis prints each one.
  redis.on("error", () => undefined)
  return redis
}

/**
 * All that a gateway's Redis user needs, as an ACL: run the scripts that the keeper has loaded, with the
 * commands that these run, and read. It cannot load a script, so that nothing but the keeper can open a
 * node (DESIGN section 7).
 */
export const GATEWAY_COMMANDS =
  "+evalsha +get +mget +mset +set +del +exists +xadd +xrange +hexists +hset +zadd +zrem +time +wait +info +script|exists +ping +auth +select +client|setname +cluster|nodes"

/** Resolves once the connection can carry a command; rejects after `timeoutMs`. */
export async function connected(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === "ready") return
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      redis.off("ready", onReady)
      reject(new Error(`Redis did not answer within ${timeoutMs} ms.`))
    }, timeoutMs)
    const onReady = () => {
      clearTimeout(timer)
      resolve()
    }
    redis.once("ready", onReady)
  })
}

/**
 * What a failed command says of itself. `refused`: this attempt did nothing. `unscripted`: refused,
 * because the node has no script of this opening. `unknown`: it may have run, or may still run.
 */
export type Failure = "refused" | "unscripted" | "unknown"

// Answered by Redis before the first command of a script runs, or because nothing was sent at all.
const REFUSALS =
  /^(OOM|MISCONF|READONLY|LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|TRYAGAIN|MOVED|ASK)\b/
const NOT_PERMITTED = /^(NOAUTH|NOPERM|WRONGPASS)\b/
const NOT_SENT = /^Stream isn't writeable/

export function classifyFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message : ""
  if (message.startsWith("NOSCRIPT")) return "unscripted"
  const said = [REFUSALS, NOT_PERMITTED, NOT_SENT].some((refusal) => refusal.test(message))
  return said ? "refused" : "unknown"
}
