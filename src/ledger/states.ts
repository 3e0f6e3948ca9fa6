import type { Fen } from "../money.ts"
import { broken, fenAt, integerAt, writeInteger } from "./bytes.ts"

/** What the scripts keep: account states, the partition's meta, holds. The formats are those of `lua/`. */

export type AccountStatus = "open" | "frozen" | "closed"
const STATUSES: readonly AccountStatus[] = ["open", "frozen", "closed"]

export type AccountState = {
  balanceFen: Fen
  heldFen: Fen
  /** Number of the account's last change record. */
  seq: number
  /** Number of the last instruction applied. */
  instruction: number
  authVersion: number
  status: AccountStatus
}

export function decodeAccount(state: Buffer): AccountState {
  return {
    balanceFen: fenAt(state, 0),
    heldFen: fenAt(state, 8),
    seq: integerAt(state, 16),
    instruction: state.readUInt32LE(24),
    authVersion: state.readUInt32LE(28),
    status: STATUSES[state.readUInt8(32) - 1] ?? broken("account status"),
  }
}

/** What Postgres has of it, as text. Throws on anything else. */
export function parseAccountStatus(text: string): AccountStatus {
  return STATUSES.find((status) => status === text) ?? broken("account status")
}

export type Meta = {
  generation: number
  partitions: number
  /** The last time used by a script, in ms. */
  clockMs: number
  /** Change records written, and those of them that Postgres has. */
  written: number
  flushed: number
  entryNumber: number
  entryId: string
  entryFlushed: number
  /** Version of the service keys. */
  services: number
}

export function decodeMeta(meta: Buffer): Meta {
  return {
    generation: meta.readUInt32LE(0),
    partitions: meta.readUInt16LE(4),
    clockMs: integerAt(meta, 6),
    written: integerAt(meta, 14),
    flushed: integerAt(meta, 22),
    entryNumber: integerAt(meta, 30),
    entryId: meta.toString("latin1", 38, 46),
    entryFlushed: integerAt(meta, 46),
    services: meta.readUInt32LE(54),
  }
}

/** What an open hold reserves; null for one that is resolved. */
export function decodeHeld(hold: Buffer): Fen | null {
  return hold.readUInt8(0) === 1 ? fenAt(hold, 1) : null
}

/** The keys that a hold's resolution touches beside its account: of its API key and keyed request. */
export function decodeHoldKeys(hold: Buffer): {
  keyId: string | null
  runningDigest: string | null
} {
  const key = hold.toString("latin1", 30, 46).trim()
  const digest = hold.toString("latin1", 46, 62).trim()
  return {
    keyId: key === "" ? null : `key_${key}`,
    runningDigest: digest === "" ? null : digest,
  }
}

/** The same as `decodeAccount` reads. */
export function encodeAccount(account: AccountState): Buffer {
  const state = Buffer.alloc(33)
  writeInteger(state, account.balanceFen, 0)
  writeInteger(state, account.heldFen, 8)
  writeInteger(state, account.seq, 16)
  state.writeUInt32LE(account.instruction, 24)
  state.writeUInt32LE(account.authVersion, 28)
  state.writeUInt8(STATUSES.indexOf(account.status) + 1, 32)
  return state
}
