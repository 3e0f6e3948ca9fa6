import { type Fen, fen } from "../money.ts"

/** Packed integers, little endian, as the headers of `lua/` have them; every amount passes `fen`. */

/** An integer of 8 bytes, in two halves: cheaper than a BigInt. Throws above 2^53. */
export function integerAt(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000
  if (!Number.isSafeInteger(value)) broken("integer above 2^53")
  return value
}

export function fenAt(bytes: Buffer, at: number): Fen {
  return fen(integerAt(bytes, at))
}

export function writeInteger(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % 0x1_0000_0000, at)
  bytes.writeUInt32LE((value - (value % 0x1_0000_0000)) / 0x1_0000_0000, at + 4)
}

export function broken(what: string): never {
  throw new Error(`broken invariant: the ledger in Redis holds a wrong ${what}`)
}
