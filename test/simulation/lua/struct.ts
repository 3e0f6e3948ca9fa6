import { LuaError, type LuaValue, Several, show } from "./values.ts"

/** `struct` of Redis, for the formats that the scripts use: little endian, unsigned, texts of a fixed length. */

type Field = { kind: "integer" | "text"; bytes: number }

const formats = new Map<string, readonly Field[]>()

function parse(format: LuaValue): readonly Field[] {
  if (typeof format !== "string") throw new LuaError("struct: a format is a text")
  const known = formats.get(format)
  if (known !== undefined) return known
  const fields: Field[] = []
  const rest = format.replaceAll(/([BIc])(\d*)/g, (_, letter: string, size: string) => {
    const bytes = size === "" ? 1 : Number(size)
    if (letter === "I" && size === "") throw new LuaError(`an integer without its size: ${format}`)
    fields.push({ kind: letter === "c" ? "text" : "integer", bytes })
    return ""
  })
  const isOfBytesAlone = fields.every(({ kind, bytes }) => kind === "text" || bytes === 1)
  if (rest !== "<" && !(rest === "" && isOfBytesAlone))
    throw new LuaError(`unknown format ${format}`)
  formats.set(format, fields)
  return fields
}

export function pack(format: LuaValue, ...values: LuaValue[]): string {
  let packed = ""
  const fields = parse(format)
  for (const [i, { kind, bytes }] of fields.entries()) {
    const value = values[i]
    packed += kind === "text" ? packText(value, bytes) : packInteger(value, bytes)
  }
  return packed
}

function packText(value: LuaValue, bytes: number): string {
  if (typeof value !== "string") throw new LuaError(`struct.pack: not a text: ${show(value)}`)
  if (value.length < bytes) throw new LuaError("struct.pack: string too short")
  return value.slice(0, bytes)
}

function packInteger(value: LuaValue, bytes: number): string {
  const number = Number(value)
  if (typeof value !== "number" && typeof value !== "string") {
    throw new LuaError(`struct.pack: not a number: ${show(value)}`)
  }
  if (!Number.isSafeInteger(number)) throw new LuaError(`struct.pack: not exact: ${show(value)}`)
  let [low, high] = halves(number)
  let packed = ""
  for (let i = 0; i < bytes; i++) {
    packed += String.fromCharCode(low & 255)
    low = (low >>> 8) | ((high & 255) << 24)
    high >>= 8
  }
  return packed
}

/** In two's complement, as C casts it. */
function halves(number: number): [low: number, high: number] {
  const high = Math.floor(number / 0x1_0000_0000)
  return [(number - high * 0x1_0000_0000) | 0, high]
}

export function unpack(format: LuaValue, data: LuaValue, from: LuaValue = 1): Several {
  if (typeof data !== "string") throw new LuaError("struct.unpack: not a text")
  const values: LuaValue[] = []
  let at = Number(from) - 1
  for (const { kind, bytes } of parse(format)) {
    if (at + bytes > data.length) throw new LuaError("struct.unpack: data string too short")
    if (kind === "text") values.push(data.slice(at, at + bytes))
    else values.push(unpackInteger(data, at, bytes))
    at += bytes
  }
  values.push(at + 1)
  return new Several(values)
}

function unpackInteger(data: string, at: number, bytes: number): number {
  let value = 0
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + data.charCodeAt(at + i)
  return value
}
