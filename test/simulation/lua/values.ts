/** The values of Lua 5.1, as translated scripts handle them. Texts are bytes, one a character. */
export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction
export type LuaFunction = (...args: LuaValue[]) => LuaValue | Several

/** What a function returns, unless it is one value. */
export class Several {
  readonly values: readonly LuaValue[]
  constructor(values: readonly LuaValue[]) {
    this.values = values
  }
}

export class LuaError extends Error {}

/** What stands under 1, 2, 3 … is a list; the rest has a map. */
export class LuaTable {
  readonly list: LuaValue[]
  readonly rest = new Map<LuaValue, LuaValue>()

  constructor(list: LuaValue[] = []) {
    this.list = list
  }

  get(key: LuaValue): LuaValue {
    if (typeof key === "number" && key >= 1 && key <= this.list.length) {
      const value = this.list[key - 1]
      if (value !== undefined) return value
    }
    return this.rest.get(key)
  }

  set(key: LuaValue, value: LuaValue): void {
    if (key === undefined) throw new LuaError("index is nil")
    const { list, rest } = this
    if (typeof key !== "number" || key < 1 || key > list.length + 1 || !Number.isInteger(key)) {
      if (value === undefined) rest.delete(key)
      else rest.set(key, value)
      return
    }
    if (key <= list.length) {
      list[key - 1] = value
      while (list.length > 0 && list.at(-1) === undefined) list.pop()
    } else if (value !== undefined) {
      list.push(value)
      for (let next = rest.get(list.length + 1); next !== undefined; ) {
        rest.delete(list.length + 1)
        list.push(next)
        next = rest.get(list.length + 1)
      }
    }
  }

  /** What `pairs` goes through. */
  entries(): [LuaValue, LuaValue][] {
    const found: [LuaValue, LuaValue][] = []
    for (const [i, value] of this.list.entries())
      if (value !== undefined) found.push([i + 1, value])
    for (const entry of this.rest) found.push(entry)
    return found
  }
}

/** The first value of a call. */
export function one(result: LuaValue | Several): LuaValue {
  return result instanceof Several ? result.values[0] : result
}

/** All values of a call. */
export function all(result: LuaValue | Several): readonly LuaValue[] {
  return result instanceof Several ? result.values : [result]
}

export function isTrue(value: LuaValue): boolean {
  return value !== undefined && value !== false
}

export function typeOf(value: LuaValue): string {
  if (value === undefined) return "nil"
  if (value instanceof LuaTable) return "table"
  return typeof value
}

/** For messages. */
export function show(value: LuaValue): string {
  return typeof value === "object" || typeof value === "function" ? typeOf(value) : String(value)
}

export function toText(value: LuaValue, what: string): string {
  if (typeof value === "string") return value
  if (typeof value === "number") return numberText(value)
  throw new LuaError(`attempt to ${what} a ${typeOf(value)} value`)
}

/** Decimal numbers only: no script reads others. */
const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/

export function toNumber(value: LuaValue): number | undefined {
  if (typeof value === "number") return value
  if (typeof value !== "string") return undefined
  if (/^\s*[+-]?(?:nan|inf|0x)/i.test(value)) throw new LuaError(`not read here: ${value}`)
  return NUMBER.test(value) ? Number(value) : undefined
}

/** As C writes it with `%.14g`: 10^15 becomes `1e+15`. */
function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value)
  const [digits = "", exponent] = value.toPrecision(14).split("e")
  const trimmed = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits
  if (exponent === undefined) return trimmed
  return `${trimmed}e${exponent.replace(/^([+-])(\d)$/, "$10$2")}`
}
