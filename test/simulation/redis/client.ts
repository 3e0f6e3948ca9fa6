import type { Part, Timer } from "../scheduler.ts"
import { onStage } from "../stage.ts"
import type { Reply } from "./commands.ts"
import type { Link } from "./host.ts"

/**
 * `Redis` of ioredis 6, as far as the ledger uses it: with the options that it is given, also those that
 * lose money (see test/simulation/README.md).
 */

type Options = {
  enableOfflineQueue?: boolean
  autoResendUnfulfilledCommands?: boolean
  maxRetriesPerRequest?: number | null
  commandTimeout?: number
  socketTimeout?: number
  retryStrategy?: (tries: number) => number
}
type Decoded = string | number | null | Buffer | Decoded[]
type Argument = string | number | Buffer
type Command = {
  args: string[]
  isBinary: boolean
  isOver: boolean
  timer: Timer | null
  resolve(reply: Decoded): void
  reject(error: Error): void
}
type Listener = (...args: unknown[]) => void

const RETRIES_DEFAULT = 20

export class Redis {
  status = "connecting"
  readonly options: Options & { host: string; port: number }
  readonly #part: Part | null
  readonly #listeners = new Map<string, Set<Listener>>()
  #link: Link | null = null
  #sent: Command[] = []
  /** Waits for a connection: sent never, or to be sent again. */
  #queue: Command[] = []
  #tries = 0
  #heardMs = 0
  #isWatching = false

  constructor(_url: string, options: Options = {}) {
    this.options = { ...options, host: "simulated", port: 6_379 }
    this.#part = onStage().scheduler.current()
    this.#connect()
  }

  on(event: string, listener: Listener): this {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners.add(listener))
    return this
  }

  once(event: string, listener: Listener): this {
    const once = (...args: unknown[]) => {
      this.off(event, once)
      listener(...args)
    }
    return this.on(event, once)
  }

  off(event: string, listener: Listener): this {
    this.#listeners.get(event)?.delete(listener)
    return this
  }

  disconnect(): void {
    if (this.#link !== null) onStage().redis.close(this.#link)
    this.#link = null
    this.status = "end"
    this.#rejectAll("Connection is closed.")
  }

  call(name: string, ...args: Argument[]): Promise<Decoded> {
    return this.command([name, ...args], false)
  }

  callBuffer(name: string, ...args: Argument[]): Promise<Decoded> {
    return this.command([name, ...args], true)
  }

  pipeline() {
    const waiting: Promise<Decoded>[] = []
    const pipeline = {
      set: (...args: Argument[]) => {
        waiting.push(this.command(["set", ...args], false))
        return pipeline
      },
      exec: async () => {
        const settled = await Promise.allSettled(waiting)
        return settled.map((each) =>
          each.status === "fulfilled" ? [null, each.value] : [each.reason, null],
        )
      },
    }
    return pipeline
  }

  command(args: readonly Argument[], isBinary: boolean): Promise<Decoded> {
    return new Promise((resolve, reject) => {
      const command: Command = {
        ...{ args: args.map(toBytes), isBinary, isOver: false, timer: null },
        ...{ resolve, reject },
      }
      const { commandTimeout } = this.options
      if (commandTimeout !== undefined) {
        const { scheduler } = onStage()
        command.timer = scheduler.after(commandTimeout, () => {
          settle(command, new Error("Command timed out"))
        })
      }
      if (this.#link !== null) this.#send(this.#link, command)
      else if (this.options.enableOfflineQueue === false || this.status === "end") {
        const queue = "enableOfflineQueue options is false"
        settle(command, new Error(`Stream isn't writeable and ${queue}`))
      } else this.#queue.push(command)
    })
  }

  #send(link: Link, command: Command): void {
    this.#sent.push(command)
    this.#watch()
    onStage().redis.send(link, command.args, (error, reply) => {
      this.#heardMs = onStage().scheduler.now()
      this.#sent = this.#sent.filter((other) => other !== command)
      if (error !== null) settle(command, new Error(error.message))
      else if (!command.isOver) {
        command.isOver = true
        command.timer?.cancel()
        command.resolve(decode(reply, command.isBinary))
      }
    })
  }

  /** A connection on which nothing comes is replaced. */
  #watch(): void {
    const { socketTimeout } = this.options
    if (socketTimeout === undefined || this.#isWatching) return
    const { scheduler, redis } = onStage()
    const link = this.#link
    this.#isWatching = true
    this.#heardMs = scheduler.now()
    const look = () => {
      if (this.#link !== link || link === null || this.#sent.length === 0) {
        this.#isWatching = false
        if (this.#link !== null && this.#sent.length > 0) this.#watch()
        return
      }
      const leftMs = this.#heardMs + socketTimeout - scheduler.now()
      if (leftMs > 0) {
        scheduler.after(leftMs, look)
        return
      }
      this.#isWatching = false
      redis.close(link)
      this.#closed(`Socket timeout. Expecting data, but didn't receive any in ${socketTimeout}ms.`)
    }
    scheduler.after(socketTimeout, look)
  }

  #connect(): void {
    const { scheduler, redis, random } = onStage()
    scheduler.after(
      random.between(0.1, 1.5),
      () => {
        if (this.status === "end") return
        const link = redis.connect(this.#part, (reason) => {
          if (this.#link === link) this.#closed(reason)
        })
        if (link === null) {
          this.#closed("connect ECONNREFUSED")
          return
        }
        this.#link = link
        this.status = "ready"
        this.#tries = 0
        for (const command of this.#queue.splice(0)) this.#send(link, command)
        this.#emit("ready")
      },
      this.#part,
    )
  }

  #closed(reason: string): void {
    const { retryStrategy = (tries: number) => Math.min(tries * 50, 2_000) } = this.options
    const { autoResendUnfulfilledCommands: isResent = true } = this.options
    const most = this.options.maxRetriesPerRequest ?? RETRIES_DEFAULT
    this.#link = null
    this.status = "reconnecting"
    this.#emit("error", new Error(reason))
    if (isResent) this.#queue.unshift(...this.#sent.splice(0))
    this.#tries++
    if (this.#tries % (most + 1) === 0) {
      this.#rejectAll(`Reached the max retries per request limit (which is ${most}).`)
    }
    onStage().scheduler.after(retryStrategy(this.#tries), () => this.#connect(), this.#part)
  }

  #rejectAll(reason: string): void {
    for (const command of [...this.#queue.splice(0), ...this.#sent.splice(0)]) {
      settle(command, new Error(reason))
    }
  }

  #emit(event: string, ...args: unknown[]): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(...args)
  }
}

function settle(command: Command, error: Error): void {
  if (command.isOver) return
  command.isOver = true
  command.timer?.cancel()
  command.reject(error)
}

/** The commands that have a method of their own, and one that answers bytes. */
const METHODS = [
  ...[
    "get",
    "set",
    "incr",
    "mget",
    "mset",
    "del",
    "unlink",
    "exists",
    "pexpire",
    "scan",
    "info",
    "time",
  ],
  ...["xadd", "xrange", "xrevrange", "hset", "hgetall", "zrangebyscore", "script"],
]
for (const name of METHODS) {
  for (const isBinary of [false, true]) {
    Object.defineProperty(Redis.prototype, isBinary ? `${name}Buffer` : name, {
      value: function command(this: Redis, ...args: Argument[]) {
        return this.command([name, ...args], isBinary)
      },
    })
  }
}

const ASCII = /^[\0-\x7f]*$/

function toBytes(argument: Argument): string {
  if (typeof argument === "number") return String(argument)
  if (typeof argument !== "string") return argument.toString("latin1")
  return ASCII.test(argument) ? argument : Buffer.from(argument).toString("latin1")
}

function decode(reply: Reply, isBinary: boolean): Decoded {
  if (reply === null || typeof reply === "number") return reply
  if (typeof reply !== "string") return reply.map((each) => decode(each, isBinary))
  if (isBinary) return Buffer.from(reply, "latin1")
  return ASCII.test(reply) ? reply : Buffer.from(reply, "latin1").toString("utf8")
}
