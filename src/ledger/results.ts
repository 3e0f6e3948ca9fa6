import type { Fen } from "../money.ts"
import { writeInteger } from "./bytes.ts"

/** A stored result of a keyed request that was charged, as `lua/decide.lua` keeps it (`RESULT`). */
export type ChargedResult = {
  /** 6 bytes of what the request asked for. */
  fingerprint: Buffer
  balanceFen: Fen
  heldFen: Fen
  seq: number
  amountFen: Fen
  atMs: number
  /** Of a capture, the details of its hold; else empty. */
  tail: string
  /** Whether the answer was given again, to a repeat of the request. */
  isTold: boolean
}

const RESULT_BYTES = 44
const CHARGED = 1
const SHORT_INTEGER_BYTES = 6

export function encodeResult(result: ChargedResult): Buffer {
  const bytes = Buffer.alloc(RESULT_BYTES)
  bytes.writeUInt8(CHARGED, 0)
  bytes.writeUInt8(result.isTold ? 1 : 0, 1)
  result.fingerprint.copy(bytes, 2, 0, SHORT_INTEGER_BYTES)
  writeInteger(bytes, result.balanceFen, 8)
  writeInteger(bytes, result.heldFen, 16)
  writeInteger(bytes, result.seq, 24)
  bytes.writeUIntLE(result.amountFen, 32, SHORT_INTEGER_BYTES)
  bytes.writeUIntLE(result.atMs, 38, SHORT_INTEGER_BYTES)
  return Buffer.concat([bytes, Buffer.from(result.tail)])
}
