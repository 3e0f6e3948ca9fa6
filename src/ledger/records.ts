import { type AccountId, chargeId, parseAccountId } from "../ids.ts"
import { type Fen, fen } from "../money.ts"
import { broken, fenAt, integerAt } from "./bytes.ts"

/** The records of a stream entry, as the scripts pack them (the headers of `lua/`). */

/**
 * Kinds of record, by the byte that stands for them in Redis. Below 32 they take money, from 32 to
 * 63 they add it, from 64 on they move none and leave no change record.
 */
const KINDS = [
  [1, "charge"],
  [2, "capture"],
  // Of a request with an Idempotency-Key.
  [3, "charge"],
  [4, "capture"],
  [33, "redemption"],
  // By a revoke, and by an instruction.
  [37, "reversal"],
  [38, "reversal"],
  [64, "open"],
  [65, "auth_version"],
  // A reversal of what a revoke had reversed before.
  [66, "passed_over"],
  // The answer to a keyed request was given to a repeat of it: no instruction.
  [67, "told"],
] as const
export type Kind = (typeof KINDS)[number][1]
const KIND_OF_BYTE = new Map<number, Kind>(KINDS)
const FIRST_KEYED = 3
const REVOKED = 37
const TOLD = 67

/** The kinds that an instruction may have, by the byte that stands for them in Redis. */
export const INSTRUCTION_BYTES = {
  open: 64,
  auth_version: 65,
  redemption: 33,
  reversal: 38,
} as const
export type InstructionKind = keyof typeof INSTRUCTION_BYTES

const FIRST_CREDIT = 32
const FIRST_WITHOUT_MONEY = 64

export function isInstructionKind(text: string): text is InstructionKind {
  return Object.hasOwn(INSTRUCTION_BYTES, text)
}

/** One record of a stream entry, before what its details say is read. */
export type LedgerRecord = {
  accountId: AccountId
  kind: Kind
  /** 1 adds to the balance, 2 takes from it, 0 moves no money. */
  type: 0 | 1 | 2
  /** Of the account's change records; for a record without money, the last one's. */
  seq: number
  amountFen: Fen
  balanceBeforeFen: Fen
  balanceAfterFen: Fen
  description: string
  interface: string | null
  quantity: number | null
  keyId: string | null
  sourceId: string | null
  requestId: string | null
  /** Set where an instruction made the record. */
  instruction: { number: number; authVersion: number } | null
  /** When the charge was made that a revoke took back: it is no usage any more. Then its number. */
  revokedAtMs: number | null
  revokedSeq: number | null
  /** The charge of which somebody has been told again. */
  toldSeq: number | null
  /** Set where the request had an Idempotency-Key: what its stored result is made of again. */
  keyed: { digest: string; fingerprint: string; heldFen: Fen } | null
}

const RECORD_HEADER_BYTES = 43

/** Reads all records of one entry. Throws where the bytes are not what the scripts write. */
export function decodeRecords(bytes: Buffer): LedgerRecord[] {
  const records: LedgerRecord[] = []
  let at = 0
  while (at < bytes.length) {
    const length = bytes.readUInt16LE(at + 41)
    const detailsAt = at + RECORD_HEADER_BYTES
    if (detailsAt + length > bytes.length) broken("record length")
    records.push(decodeRecord(bytes, at, bytes.subarray(detailsAt, detailsAt + length)))
    at = detailsAt + length
  }
  return records
}

function decodeRecord(bytes: Buffer, at: number, details: Buffer): LedgerRecord {
  const kindByte = bytes.readUInt8(at + 16)
  const kind = KIND_OF_BYTE.get(kindByte) ?? broken(`record kind ${kindByte}`)
  const type = kindByte >= FIRST_WITHOUT_MONEY ? 0 : kindByte >= FIRST_CREDIT ? 1 : 2
  const amountFen = fenAt(bytes, at + 25)
  const balanceAfterFen = fenAt(bytes, at + 33)
  const accountId = parseAccountId(`acct_${bytes.toString("latin1", at, at + 16)}`)
  return {
    accountId,
    kind,
    type,
    seq: integerAt(bytes, at + 17),
    amountFen,
    balanceBeforeFen:
      type === 2 ? fen(balanceAfterFen + amountFen) : fen(balanceAfterFen - amountFen),
    balanceAfterFen,
    ...decodeDetails(kindByte, accountId, details),
  }
}

type Details = Pick<
  LedgerRecord,
  | "description"
  | "interface"
  | "quantity"
  | "keyId"
  | "sourceId"
  | "requestId"
  | "instruction"
  | "revokedAtMs"
  | "revokedSeq"
  | "toldSeq"
  | "keyed"
>
const NO_DETAILS: Details = {
  description: "",
  interface: null,
  quantity: null,
  keyId: null,
  sourceId: null,
  requestId: null,
  instruction: null,
  revokedAtMs: null,
  revokedSeq: null,
  toldSeq: null,
  keyed: null,
}

function decodeDetails(kindByte: number, accountId: AccountId, details: Buffer): Details {
  if (kindByte < FIRST_KEYED) return decodeChargeDetails(details)
  if (kindByte < FIRST_CREDIT) return decodeKeyedDetails(details)
  if (kindByte === TOLD) return { ...NO_DETAILS, toldSeq: integerAt(details, 0) }
  if (kindByte !== REVOKED) return decodeInstructionDetails(details)
  const [revokedSeq, revokedAtMs] = [integerAt(details, 0), integerAt(details, 8)]
  const charge = { accountId, seq: revokedSeq, at: new Date(revokedAtMs) }
  return {
    ...decodeChargeDetails(details.subarray(16)),
    sourceId: chargeId(charge),
    description: "Reversal: the call was answered 503",
    ...{ revokedAtMs, revokedSeq },
  }
}

function decodeKeyedDetails(details: Buffer): Details {
  const keyed = {
    digest: details.toString("latin1", 0, 16),
    fingerprint: details.toString("base64", 16, 22),
    heldFen: fenAt(details, 22),
  }
  return { ...decodeChargeDetails(details.subarray(30)), keyed }
}

const SEPARATOR = "\x1f"

/** The separator cannot occur in the first fields, and the last one may hold anything. */
export function chargeDetails(charge: {
  keyId: string
  interface: string
  quantity: number
  requestId: string
  description: string
}): string {
  return `${charge.keyId}\x1f${charge.interface}\x1f${charge.quantity}\x1f${charge.requestId}\x1f${charge.description}`
}

/** What a capture's hold was for, from the details that it was made with. */
export function readDetails(details: string): { interface: string; quantity: number } {
  const [, interfaceId, quantity] = split(details, 5)
  return { interface: interfaceId, quantity: Number(quantity) }
}

function decodeChargeDetails(details: Buffer): Details {
  const [keyId, interfaceId, quantity, requestId, description] = split(details.toString("utf8"), 5)
  return {
    ...NO_DETAILS,
    keyId,
    interface: interfaceId,
    quantity: Number(quantity),
    requestId,
    description: description === "" ? `API call ${interfaceId}` : description,
  }
}

export function instructionDetails(instruction: {
  sourceId: string | null
  description: string
}): string {
  return `${instruction.sourceId ?? ""}${SEPARATOR}${instruction.description}`
}

function decodeInstructionDetails(details: Buffer): Details {
  const [sourceId, description] = split(details.toString("utf8", 8), 2)
  return {
    ...NO_DETAILS,
    sourceId: sourceId === "" ? null : sourceId,
    description,
    instruction: { number: details.readUInt32LE(0), authVersion: details.readUInt32LE(4) },
  }
}

/** Splits into exactly `fields` parts; separators beyond the last belong to the last part. */
function split(text: string, fields: 2): [string, string]
function split(text: string, fields: 5): [string, string, string, string, string]
function split(text: string, fields: number): string[] {
  const parts: string[] = []
  let from = 0
  while (parts.length < fields - 1) {
    const to = text.indexOf(SEPARATOR, from)
    if (to === -1) broken("record details")
    parts.push(text.slice(from, to))
    from = to + 1
  }
  parts.push(text.slice(from))
  return parts
}
