import { createHash, createHmac } from "node:crypto"
import type { ChainedRecord, Written } from "../../src/flusher/chain.ts"

/** The hash chain once more, written from its description and not from its code. */

export type LeafOf = {
  partition: number
  position: number
  record: ChainedRecord
  written: Written
  chainKey: string
}

export function leafOf({ partition, position, record, written, chainKey }: LeafOf): Buffer {
  const texts = [
    ...[record.accountId, record.kind, record.description, record.interface],
    ...[record.keyId, record.sourceId, record.requestId, written.slot],
  ]
  const bytes = Buffer.concat([
    Buffer.of(1),
    integer(partition, 4),
    ...[integer(position), integer(record.seq), Buffer.of(record.type)],
    ...[record.amountFen, record.balanceBeforeFen, record.balanceAfterFen].map((fen) =>
      integer(fen),
    ),
    integer(written.atMs * 1_000),
    ...texts.map(prefixed),
    ...[record.quantity, written.batch].map(nullable),
  ])
  return createHmac("sha256", chainKey).update(bytes).digest()
}

export function headAfter(head: Buffer, leaf: Buffer): Buffer {
  return createHash("sha256").update(Buffer.of(1)).update(head).update(leaf).digest()
}

export function firstHead(partition: number, chainStart: number): Buffer {
  const parts = [Buffer.from("fengate chain"), integer(partition, 4), integer(chainStart)]
  return createHash("sha256").update(Buffer.concat(parts)).digest()
}

function integer(value: number, length = 8): Buffer {
  const hex = BigInt.asUintN(8 * length, BigInt(value)).toString(16)
  return Buffer.from(hex.padStart(2 * length, "0"), "hex")
}

function prefixed(text: string | null): Buffer {
  if (text === null) return Buffer.alloc(4, 0xff)
  const bytes = Buffer.from(text, "utf8")
  return Buffer.concat([integer(bytes.length, 4), bytes])
}

function nullable(value: number | null): Buffer {
  return value === null ? Buffer.of(0) : Buffer.concat([Buffer.of(1), integer(value)])
}
