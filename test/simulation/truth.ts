import { decodeRecords, type LedgerRecord } from "../../src/ledger/records.ts"

/** What Redis has written, whatever became of it since: each entry of each stream, as it was appended. */
export type WrittenEntry = {
  partition: number
  generation: number
  number: number
  id: string
  slot: string
  batch: number
  atMs: number
  records: LedgerRecord[]
}

export type Truth = {
  entries: readonly WrittenEntry[]
  append(stream: string, position: string, fields: readonly string[]): void
}

export function createTruth(): Truth {
  const entries: WrittenEntry[] = []
  return {
    entries,
    append(stream, position, fields) {
      const [generation, number] = position.split("-").map(Number)
      const field = (name: string) => fields[fields.indexOf(name) + 1] ?? ""
      const values = new Map<string, string>()
      for (let i = 0; i < fields.length; i += 2) values.set(fields[i] ?? "", fields[i + 1] ?? "")
      entries.push({
        partition: Number(/^\{p(\d+)/.exec(stream)?.[1]),
        generation: generation ?? 0,
        number: number ?? 0,
        id: field("id"),
        slot: values.get("slot") ?? "",
        batch: Number(values.get("batch")),
        atMs: Number(values.get("at")),
        records: decodeRecords(Buffer.from(values.get("records") ?? "", "latin1")),
      })
    },
  }
}
