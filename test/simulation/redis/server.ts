import { type Script, translate } from "../lua/translate.ts"
import { LuaError, LuaTable, type LuaValue, show } from "../lua/values.ts"
import { commands, expire, type Keyspace, READS, RedisError, type Reply } from "./commands.ts"

/**
 * A Redis in memory that runs the real scripts of `lua/`. What it has is durable as soon as it is
 * answered (`appendfsync always`); `history` holds what it had after each of its last writes, for faults
 * that take it back.
 */
export type RedisServer = {
  /** Throws `RedisError` as Redis answers one. */
  execute(args: readonly string[]): Reply
  data(): Keyspace
  /** How many writes there were since the world began. */
  writes(): number
  /** As it stood so many writes ago, or as far back as it is known. */
  goBack(writes: number): void
  copy(): Keyspace
  restore(data: Keyspace): void
  /** Scripts are gone after a restart. Answers those that were there. */
  swapScripts(scripts: ReadonlySet<string>): ReadonlySet<string>
  /** Writes are refused, scripts as well. */
  setFull(isFull: boolean): void
}

type Deps = {
  /** Redis's own clock, in ms since 1970. */
  nowMs(): number
  /** What no script may do: it is a fault of the script, or of this stand-in. */
  onScriptError(error: Error): void
  /** Each entry that a script appends to a stream. */
  onAppend(stream: string, position: string, fields: readonly string[]): void
}

type Running = { data: Keyspace; nowMs: number; onAppend: Deps["onAppend"] }

const HISTORY_MAX = 400
const LOOK_MS = 200

export function createRedisServer({ nowMs, onScriptError, onAppend }: Deps): RedisServer {
  let data: Keyspace = new Map()
  let scripts: ReadonlySet<string> = new Set()
  let isFull = false
  let writes = 0
  let lookedAtMs = 0
  let history: Keyspace[] = [new Map()]

  return {
    execute,
    data: () => data,
    writes: () => writes,
    goBack,
    copy: () => new Map(data),
    restore,
    swapScripts(others) {
      const before = scripts
      scripts = others
      return before
    },
    setFull(full) {
      isFull = full
    },
  }

  function execute([name = "", ...args]: readonly string[]): Reply {
    const command = name.toUpperCase()
    lookForEnds(nowMs())
    const reply = perform(command, args)
    if (!READS.has(command)) keep()
    return reply
  }

  /** Nothing ends so soon that now and then would not do. */
  function lookForEnds(now: number): void {
    if (Math.abs(now - lookedAtMs) < LOOK_MS) return
    lookedAtMs = now
    expire(data, now)
  }

  function perform(command: string, args: readonly string[]): Reply {
    switch (command) {
      case "EVALSHA":
        return evaluate(textOf(args[0] ?? ""), args)
      case "EVAL":
        return evaluate(args[0] ?? "", args)
      case "SCRIPT":
        return script(args)
      case "FLUSHALL":
        data.clear()
        return "OK"
      case "INFO":
        return "maxmemory_policy:noeviction\r\naof_enabled:1\r\n"
      case "PING":
        return "PONG"
      default: {
        const work = commands[command]
        if (work === undefined) throw new RedisError(`ERR unknown command '${command}'`)
        if (isFull && !READS.has(command)) refuseMemory()
        return work(data, args, nowMs())
      }
    }
  }

  function keep(): void {
    writes++
    history.push(new Map(data))
    if (history.length > HISTORY_MAX) history.shift()
  }

  function goBack(count: number): void {
    const kept = history.slice(0, Math.max(1, history.length - count))
    history = kept
    data = new Map(kept.at(-1))
  }

  function restore(other: Keyspace): void {
    data = new Map(other)
    history = [new Map(other)]
  }

  function script([verb = "", ...args]: readonly string[]): Reply {
    switch (verb.toUpperCase()) {
      case "LOAD": {
        const hash = hashOf(args[0] ?? "")
        scripts = new Set([...scripts, hash])
        return hash
      }
      case "EXISTS":
        return args.map((hash) => (scripts.has(hash) ? 1 : 0))
      case "FLUSH":
        scripts = new Set()
        return "OK"
      default:
        throw new RedisError("ERR unknown subcommand")
    }
  }

  function textOf(hash: string): string {
    const text = scripts.has(hash) ? texts.get(hash) : undefined
    if (text === undefined) throw new RedisError("NOSCRIPT No matching script. Please use EVAL.")
    return text
  }

  function evaluate(text: string, [, count = "0", ...rest]: readonly string[]): Reply {
    if (isFull) refuseMemory()
    const keys = new LuaTable(rest.slice(0, Number(count)))
    const args = new LuaTable(rest.slice(Number(count)))
    running = { data, nowMs: nowMs(), onAppend }
    try {
      return toReply(compile(text)(keys, args))
    } catch (error) {
      if (!(error instanceof LuaError) && !(error instanceof RedisError)) throw error
      onScriptError(error)
      throw new RedisError(`ERR user_script: ${error.message}`)
    }
  }
}

function refuseMemory(): never {
  throw new RedisError("OOM command not allowed when used memory > 'maxmemory'.")
}

// Scripts are the same in every world: they are hashed and translated once.
const hashes = new Map<string, string>()
const texts = new Map<string, string>()
const compiled = new Map<string, Script>()
/** Where the script that runs now finds its keys. */
let running: Running = { data: new Map(), nowMs: 0, onAppend: () => undefined }

function hashOf(text: string): string {
  const known = hashes.get(text)
  if (known !== undefined) return known
  const hash = new Bun.CryptoHasher("sha1").update(Buffer.from(text, "latin1")).digest("hex")
  hashes.set(text, hash)
  texts.set(hash, text)
  return hash
}

/** Under each opening the same script has another text, which differs in its last line alone. */
function compile(text: string): Script {
  const source = text.replace(/-- opening \d+\n$/, "")
  let script = compiled.get(source)
  if (script === undefined) {
    script = translate(source, call)
    compiled.set(source, script)
  }
  return script
}

function call(name: LuaValue, ...args: LuaValue[]): LuaValue {
  const command = commands[show(name)]
  if (command === undefined) throw new LuaError(`there is no command ${show(name)}`)
  const words = args.map(toArgument)
  const reply = command(running.data, words, running.nowMs)
  if (name === "XADD" && typeof reply === "string") {
    running.onAppend(words[0] ?? "", reply, words.slice(3))
  }
  return fromReply(reply)
}

function toArgument(value: LuaValue): string {
  if (typeof value === "string") return value
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value).toString()
  throw new LuaError("Lua redis() command arguments must be strings or integers")
}

function fromReply(reply: Reply): LuaValue {
  if (reply === null) return false
  if (typeof reply === "string" || typeof reply === "number") return reply
  return new LuaTable(reply.map(fromReply))
}

function toReply(value: LuaValue): Reply {
  if (value === undefined || value === false) return null
  if (typeof value === "string") return value
  if (typeof value === "number") return Math.trunc(value)
  if (value === true) return 1
  if (value instanceof LuaTable) {
    const end = value.list.indexOf(undefined)
    return (end === -1 ? value.list : value.list.slice(0, end)).map(toReply)
  }
  throw new LuaError("a script returns no function")
}
