/** The commands of Redis that scripts and the ledger use, on values that are never changed in place. */

/** Texts are bytes, one a character. */
export type Reply = string | number | null | readonly Reply[]

export class RedisError extends Error {}

type StreamEntry = { ms: number; seq: number; fields: readonly string[] }
class Stream {
  readonly entries: readonly StreamEntry[]
  readonly last: StreamEntry
  constructor(entries: readonly StreamEntry[], last: StreamEntry) {
    this.entries = entries
    this.last = last
  }
}
class Hash {
  readonly fields: ReadonlyMap<string, string>
  constructor(fields: ReadonlyMap<string, string>) {
    this.fields = fields
  }
}
class SortedSet {
  readonly scores: ReadonlyMap<string, number>
  constructor(scores: ReadonlyMap<string, number>) {
    this.scores = scores
  }
}
type Value = string | Stream | Hash | SortedSet
type Stored = { value: Value; endsAtMs: number | null }

/** All keys. A copy of the map is a copy of everything. */
export type Keyspace = Map<string, Stored>

type Command = (data: Keyspace, args: readonly string[], nowMs: number) => Reply

const NO_ENTRY: StreamEntry = { ms: 0, seq: 0, fields: [] }

function read<Kind extends Value>(
  data: Keyspace,
  key: string,
  is: (value: Value) => value is Kind,
): Kind | null {
  const stored = data.get(key)
  if (stored === undefined) return null
  if (!is(stored.value)) throw new RedisError("WRONGTYPE Operation against a key of another kind")
  return stored.value
}

const isText = (value: Value): value is string => typeof value === "string"
const isStream = (value: Value): value is Stream => value instanceof Stream
const isHash = (value: Value): value is Hash => value instanceof Hash
const isSortedSet = (value: Value): value is SortedSet => value instanceof SortedSet

/** Keeps the end that the key had. */
function write(data: Keyspace, key: string, value: Value): void {
  data.set(key, { value, endsAtMs: data.get(key)?.endsAtMs ?? null })
}

function argument(args: readonly string[], at: number): string {
  const value = args[at]
  if (value === undefined) throw new RedisError("ERR wrong number of arguments")
  return value
}

function integer(args: readonly string[], at: number): number {
  const value = Number(argument(args, at))
  if (!Number.isSafeInteger(value)) throw new RedisError("ERR value is not an integer")
  return value
}

function set(data: Keyspace, args: readonly string[], nowMs: number): Reply {
  const [key, value] = [argument(args, 0), argument(args, 1)]
  const option = args[2]?.toUpperCase()
  if (option === undefined) data.set(key, { value, endsAtMs: null })
  else if (option === "KEEPTTL") write(data, key, value)
  else if (option === "PX") data.set(key, { value, endsAtMs: nowMs + integer(args, 3) })
  else if (option === "PXAT") data.set(key, { value, endsAtMs: integer(args, 3) })
  else throw new RedisError(`ERR syntax error: ${option}`)
  return "OK"
}

function setRange(data: Keyspace, args: readonly string[]): Reply {
  const [key, offset, part] = [argument(args, 0), integer(args, 1), argument(args, 2)]
  const before = (read(data, key, isText) ?? "").padEnd(offset, "\0")
  const value = before.slice(0, offset) + part + before.slice(offset + part.length)
  write(data, key, value)
  return value.length
}

function remove(data: Keyspace, keys: readonly string[]): Reply {
  return keys.filter((key) => data.delete(key)).length
}

function xadd(data: Keyspace, args: readonly string[]): Reply {
  const key = argument(args, 0)
  const isOptional = args[1]?.toUpperCase() === "NOMKSTREAM"
  const [id, ...fields] = args.slice(isOptional ? 2 : 1)
  const stream = read(data, key, isStream)
  if (stream === null && isOptional) return null
  const last = stream?.last ?? NO_ENTRY
  const [ms = "", number = ""] = (id ?? "").split("-")
  const seq = number !== "*" ? Number(number) : Number(ms) === last.ms ? last.seq + 1 : 0
  const entry = { ms: Number(ms), seq, fields }
  if (entry.ms < last.ms || (entry.ms === last.ms && seq <= last.seq && stream !== null)) {
    throw new RedisError(
      "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    )
  }
  write(data, key, new Stream([...(stream?.entries ?? []), entry], entry))
  return idOf(entry)
}

function idOf({ ms, seq }: StreamEntry): string {
  return `${ms}-${seq}`
}

/** An end of a range: what is below it, or above it, is out. */
function bound(text: string, isEnd: boolean): (entry: StreamEntry) => boolean {
  if (text === "-" || text === "+") return () => true
  const isOpen = text.startsWith("(")
  const [ms, seq = isEnd ? "Infinity" : "0"] = text.slice(isOpen ? 1 : 0).split("-")
  const [wantedMs, wantedSeq] = [Number(ms), Number(seq)]
  return (entry) => {
    const difference = entry.ms === wantedMs ? entry.seq - wantedSeq : entry.ms - wantedMs
    if (difference === 0) return !isOpen
    return isEnd ? difference < 0 : difference > 0
  }
}

function xrange(data: Keyspace, args: readonly string[], isReverse = false): Reply {
  const stream = read(data, argument(args, 0), isStream)
  const [from, to] = [argument(args, isReverse ? 2 : 1), argument(args, isReverse ? 1 : 2)]
  const [isAfter, isBefore] = [bound(from, false), bound(to, true)]
  const found = (stream?.entries ?? []).filter((entry) => isAfter(entry) && isBefore(entry))
  if (isReverse) found.reverse()
  const count = args[3]?.toUpperCase() === "COUNT" ? integer(args, 4) : found.length
  return found.slice(0, count).map((entry) => [idOf(entry), entry.fields])
}

function xtrim(data: Keyspace, args: readonly string[]): Reply {
  const key = argument(args, 0)
  if (args[1] !== "MINID" || args[2] !== "=") throw new RedisError("ERR syntax error")
  const stream = read(data, key, isStream)
  if (stream === null) return 0
  const isKept = bound(argument(args, 3), false)
  const kept = stream.entries.filter(isKept)
  write(data, key, new Stream(kept, stream.last))
  return stream.entries.length - kept.length
}

function hset(data: Keyspace, args: readonly string[]): Reply {
  const key = argument(args, 0)
  const fields = new Map(read(data, key, isHash)?.fields)
  const before = fields.size
  for (let i = 1; i < args.length; i += 2) fields.set(argument(args, i), argument(args, i + 1))
  write(data, key, new Hash(fields))
  return fields.size - before
}

function zadd(data: Keyspace, args: readonly string[]): Reply {
  const key = argument(args, 0)
  const scores = new Map(read(data, key, isSortedSet)?.scores)
  const before = scores.size
  for (let i = 1; i < args.length; i += 2) scores.set(argument(args, i + 1), integer(args, i))
  write(data, key, new SortedSet(scores))
  return scores.size - before
}

function zrem(data: Keyspace, args: readonly string[]): Reply {
  const key = argument(args, 0)
  const scores = new Map(read(data, key, isSortedSet)?.scores)
  const gone = args.slice(1).filter((member) => scores.delete(member)).length
  if (scores.size > 0) write(data, key, new SortedSet(scores))
  else data.delete(key)
  return gone
}

function zrangebyscore(data: Keyspace, args: readonly string[]): Reply {
  const set = read(data, argument(args, 0), isSortedSet)
  const limit = (text: string) => (text === "-inf" ? Number.NEGATIVE_INFINITY : Number(text))
  const [from, to] = [limit(argument(args, 1)), limit(argument(args, 2))]
  const found = [...(set?.scores ?? [])]
    .filter(([, score]) => score >= from && score <= to)
    .toSorted(([a, left], [b, right]) => left - right || (a < b ? -1 : 1))
    .map(([member]) => member)
  if (args[3] !== "LIMIT") return found
  return found.slice(integer(args, 4), integer(args, 4) + integer(args, 5))
}

/** All at once: the cursor is 0 always. */
function scan(data: Keyspace, args: readonly string[]): Reply {
  const pattern = args[args.findIndex((arg) => arg.toUpperCase() === "MATCH") + 1] ?? "*"
  const escaped = pattern.replaceAll(/[.+^${}()|\\]/g, String.raw`\$&`)
  const source = escaped.replaceAll("*", ".*").replaceAll("?", ".")
  const matches = new RegExp(`^${source}$`, "s")
  return ["0", [...data.keys()].filter((key) => matches.test(key))]
}

function end(data: Keyspace, key: string, endsAtMs: number): Reply {
  const stored = data.get(key)
  if (stored === undefined) return 0
  data.set(key, { ...stored, endsAtMs })
  return 1
}

export const commands: Readonly<Record<string, Command | undefined>> = {
  GET: (data, args) => read(data, argument(args, 0), isText),
  MGET: (data, keys) =>
    keys.map((key) => {
      const value = data.get(key)?.value
      return typeof value === "string" ? value : null
    }),
  SET: set,
  MSET(data, args) {
    for (let i = 0; i < args.length; i += 2)
      set(data, [argument(args, i), argument(args, i + 1)], 0)
    return "OK"
  },
  SETRANGE: setRange,
  INCR(data, args) {
    const key = argument(args, 0)
    const value = Number(read(data, key, isText) ?? 0) + 1
    write(data, key, String(value))
    return value
  },
  DEL: remove,
  UNLINK: remove,
  EXISTS: (data, keys) => keys.filter((key) => data.has(key)).length,
  PEXPIRE: (data, args, nowMs) => end(data, argument(args, 0), nowMs + integer(args, 1)),
  XADD: xadd,
  XRANGE: (data, args) => xrange(data, args),
  XREVRANGE: (data, args) => xrange(data, args, true),
  XTRIM: xtrim,
  HSET: hset,
  HEXISTS: (data, args) =>
    read(data, argument(args, 0), isHash)?.fields.has(argument(args, 1)) === true ? 1 : 0,
  HGET: (data, args) =>
    read(data, argument(args, 0), isHash)?.fields.get(argument(args, 1)) ?? null,
  HGETALL: (data, args) => [...(read(data, argument(args, 0), isHash)?.fields ?? [])].flat(),
  ZADD: zadd,
  ZREM: zrem,
  ZRANGEBYSCORE: zrangebyscore,
  SCAN: scan,
  TIME: (_data, _args, nowMs) => [
    String(Math.floor(nowMs / 1_000)),
    String(Math.floor((nowMs % 1_000) * 1_000)),
  ],
}

/** Commands that change nothing: there is nothing new to be lost after them. */
export const READS: ReadonlySet<string> = new Set([
  ...["GET", "MGET", "EXISTS", "XRANGE", "XREVRANGE", "HEXISTS", "HGET", "HGETALL"],
  ...["ZRANGEBYSCORE", "SCAN", "TIME"],
])

/** What has come to its end is not there any more. */
export function expire(data: Keyspace, nowMs: number): void {
  for (const [key, { endsAtMs }] of data)
    if (endsAtMs !== null && endsAtMs <= nowMs) data.delete(key)
}
