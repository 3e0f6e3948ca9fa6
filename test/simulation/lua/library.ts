import { pack, unpack as unpackStruct } from "./struct.ts"
import {
  all,
  isTrue,
  LuaError,
  type LuaFunction,
  LuaTable,
  type LuaValue,
  one,
  Several,
  show,
  toNumber,
  toText,
  typeOf,
} from "./values.ts"

/** What translated scripts call: the operators of Lua, and those of its functions that scripts use. */

function number(value: LuaValue): number {
  const found = toNumber(value)
  if (found === undefined) {
    throw new LuaError(`attempt to perform arithmetic on a ${typeOf(value)} value`)
  }
  return found
}

function arithmetic(compute: (a: number, b: number) => number) {
  return (a: LuaValue, b: LuaValue): number =>
    typeof a === "number" && typeof b === "number" ? compute(a, b) : compute(number(a), number(b))
}

function comparison(compare: (a: number | string, b: number | string) => boolean) {
  return (a: LuaValue, b: LuaValue): boolean => {
    const isSame = typeof a === typeof b
    if (!isSame || (typeof a !== "number" && typeof a !== "string")) {
      throw new LuaError(`attempt to compare ${typeOf(a)} with ${typeOf(b)}`)
    }
    if (typeof b !== "number" && typeof b !== "string") throw new LuaError("not compared")
    return compare(a, b)
  }
}

export const operators = {
  add: arithmetic((a, b) => a + b),
  sub: arithmetic((a, b) => a - b),
  mul: arithmetic((a, b) => a * b),
  div: arithmetic((a, b) => a / b),
  mod: arithmetic((a, b) => a - Math.floor(a / b) * b),
  lt: comparison((a, b) => a < b),
  le: comparison((a, b) => a <= b),
  neg: (a: LuaValue): number => -number(a),
  concat: (a: LuaValue, b: LuaValue): string => toText(a, "concatenate") + toText(b, "concatenate"),
  len(value: LuaValue): number {
    if (typeof value === "string") return value.length
    if (value instanceof LuaTable) return value.list.length
    throw new LuaError(`attempt to get length of a ${typeOf(value)} value`)
  },
  index(table: LuaValue, key: LuaValue): LuaValue {
    if (table instanceof LuaTable) return table.get(key)
    throw new LuaError(`attempt to index a ${typeOf(table)} value with ${show(key)}`)
  },
  put(table: LuaValue, key: LuaValue, value: LuaValue): void {
    if (!(table instanceof LuaTable))
      throw new LuaError(`attempt to index a ${typeOf(table)} value`)
    table.set(key, value)
  },
  call(what: LuaValue, ...args: LuaValue[]): LuaValue | Several {
    if (typeof what !== "function") throw new LuaError(`attempt to call a ${typeOf(what)} value`)
    return what(...args)
  },
  table: (list: LuaValue[]): LuaTable => new LuaTable(list),
  several: (values: LuaValue[]): Several => new Several(values),
  entries(list: LuaValue | Several): readonly [LuaValue, LuaValue][] {
    const [kind, table] = all(list)
    if (!(table instanceof LuaTable)) throw new LuaError("only pairs and ipairs are gone through")
    if (kind === "pairs") return table.entries()
    const end = table.list.indexOf(undefined)
    const listed = end === -1 ? table.list : table.list.slice(0, end)
    return listed.map((value, i) => [i + 1, value])
  },
  one,
  all,
  isTrue,
}

function text(value: LuaValue): string {
  return toText(value, "use as a text")
}

/** Positions as Lua counts them: from 1, and from the end where they are negative. */
function sub(value: LuaValue, from: LuaValue, to: LuaValue = -1): string {
  const whole = text(value)
  const [start, end] = [number(from), number(to)]
  const first = start < 0 ? Math.max(0, whole.length + start) : Math.max(0, start - 1)
  const last = end < 0 ? whole.length + end + 1 : end
  return last <= first ? "" : whole.slice(first, last)
}

function format(pattern: LuaValue, value: LuaValue): string {
  if (pattern !== "%.0f") throw new LuaError(`unknown format ${show(pattern)}`)
  const found = number(value)
  if (!Number.isInteger(found)) throw new LuaError("only integers are written")
  return found === 0 ? "0" : BigInt(found).toString()
}

const patterns = new Map<string, RegExp>()

/** A pattern of Lua without its own peculiarities: classes, `+` and one capture. */
function match(value: LuaValue, pattern: LuaValue): LuaValue {
  const source = text(pattern)
  let compiled = patterns.get(source)
  if (compiled === undefined) {
    if (!/^\^?(?:[\w()+]|%[wd])*$/.test(source)) throw new LuaError(`unknown pattern ${source}`)
    const body = source.replaceAll("%w", "[0-9A-Za-z]").replaceAll("%d", "[0-9]")
    compiled = new RegExp(body)
    patterns.set(source, compiled)
  }
  const found = compiled.exec(text(value))
  return found?.[1] ?? found?.[0]
}

function unpack(table: LuaValue, from: LuaValue = 1, to?: LuaValue): Several {
  if (!(table instanceof LuaTable)) throw new LuaError("unpack: not a table")
  const last = to === undefined ? table.list.length : number(to)
  return new Several(table.list.slice(number(from) - 1, last))
}

function concat(table: LuaValue): string {
  if (!(table instanceof LuaTable)) throw new LuaError("table.concat: not a table")
  let joined = ""
  for (const part of table.list) joined += text(part)
  return joined
}

/** By the names under which scripts know them. */
export const functions: Readonly<Record<string, LuaFunction | undefined>> = {
  "struct.pack": pack,
  "struct.unpack": unpackStruct,
  "string.sub": sub,
  "string.rep": (value, count) => text(value).repeat(number(count)),
  "string.format": format,
  "string.match": match,
  "table.concat": concat,
  "math.floor": (value) => Math.floor(number(value)),
  "math.ceil": (value) => Math.ceil(number(value)),
  "math.max": (...values) => Math.max(...values.map(number)),
  "math.min": (...values) => Math.min(...values.map(number)),
  "bit.band": (...values) => values.map(number).reduce((a, b) => a & b),
  unpack,
  tonumber: (value) => toNumber(value),
  pairs: (table) => new Several(["pairs", table]),
  ipairs: (table) => new Several(["ipairs", table]),
}
