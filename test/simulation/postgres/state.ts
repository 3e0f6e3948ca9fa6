import type { Sql } from "../../../db/connection.ts"
import type { Incident } from "../../../db/queries/add-incident.ts"
import type { SeenBefore } from "../../../db/queries/list-losses.ts"
import type { Sighting } from "../../../db/queries/note-sighting.ts"
import type { Watermark } from "../../../db/queries/read-watermarks.ts"

/** What the stand-in of Postgres keeps: the tables that the ledger, flusher and recovery use. */

export type PartitionRow = Omit<Watermark, "server"> & { stoppedBecause: string | null }
export type GenerationRow = {
  partition: number
  generation: number
  recordsBefore: number
  lastEntry: number | null
  lastRecords: number | null
}
export type SnapshotRow = {
  partition: number
  balanceFen: number
  lastSeq: number
  instruction: number
  authVersion: number
  status: string
  chainKey: string
}
export type InstructionRow = {
  number: number
  kind: string
  amountFen: number
  authVersion: number
  sourceId: string | null
  description: string
  createdAtMs: number
  isFlushed: boolean
}
export type RecordRow = {
  accountId: string
  seq: number
  type: number
  kind: string
  amountFen: number
  beforeFen: number
  afterFen: number
  description: string
  atMs: number
  interface: string | null
  quantity: number | null
  keyId: string | null
  sourceId: string | null
  requestId: string | null
  slot: string | null
  batch: number
  partition: number
  position: number
}
export type ResultRow = {
  accountId: string
  seq: number
  partition: number
  atMs: number
  digest: string
  fingerprint: string
  heldFen: number
  told: boolean
}
export type LossRow = SeenBefore & { isHandled: boolean }

export type PostgresState = {
  /** Which one it is, by how often it was started. */
  server: number
  partitionCount: number
  opening: number
  servicesVersion: number
  partitions: PartitionRow[]
  generations: GenerationRow[]
  losses: LossRow[]
  sightings: Sighting[]
  incidents: Incident[]
  /** The account plane: number of the last instruction that was made, and the auth version. */
  accounts: Map<string, { lastInstruction: number; authVersion: number }>
  instructions: Map<string, InstructionRow[]>
  /** Charges that an instruction takes back, by their id. */
  reversals: Set<string>
  snapshots: Map<string, SnapshotRow>
  records: RecordRow[]
  /** By account and number. */
  recordOf: Map<string, RecordRow>
  results: Map<string, ResultRow>
  counters: Map<string, { creditFen: number; debitFen: number }>
  months: Set<string>
}

export function emptyState(): PostgresState {
  return {
    ...{ server: 0, partitionCount: 0, opening: 0, servicesVersion: 1 },
    ...{ partitions: [], generations: [], losses: [], sightings: [], incidents: [], records: [] },
    ...{ accounts: new Map(), instructions: new Map(), reversals: new Set() },
    ...{ snapshots: new Map(), recordOf: new Map(), results: new Map(), counters: new Map() },
    months: new Set(),
  }
}

/** What a statement raises. */
export class SqlError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** A query of `db/queries` as a function on the state: what it is called with, and what it answers. */
export type StandIn<Query> = Query extends (sql: Sql, ...args: infer Args) => Promise<infer Result>
  ? (...args: Args) => Result
  : never

export function recordName(accountId: string, seq: number): string {
  return `${accountId} ${seq}`
}

export function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7)
}

/** The elements of a Postgres array literal, as texts. */
export function elements(literal: string): (string | null)[] {
  const found: (string | null)[] = []
  let at = 1
  while (at < literal.length - 1) {
    if (literal[at] === '"') {
      const end = closingQuote(literal, at + 1)
      found.push(literal.slice(at + 1, end).replaceAll(/\\(.)/g, "$1"))
      at = end + 2
    } else {
      const comma = literal.indexOf(",", at)
      const end = comma === -1 ? literal.length - 1 : comma
      const text = literal.slice(at, end)
      found.push(text === "NULL" ? null : text)
      at = end + 1
    }
  }
  return found
}

function closingQuote(literal: string, from: number): number {
  let at = from
  while (literal[at] !== '"') at += literal[at] === "\\" ? 2 : 1
  return at
}

/** The rows that columns make together. */
export function rowsOf<Name extends string>(columns: Readonly<Record<Name, string>>): Row<Name>[] {
  const names = namesOf(columns)
  const parsed = names.map((name) => elements(columns[name]))
  const [first = []] = parsed
  return first.map(
    (_, i) => new Row(new Map(names.map((name, j) => [name, parsed[j]?.[i] ?? null]))),
  )
}

function namesOf<Name extends string>(columns: Readonly<Record<Name, string>>): Name[] {
  const names: Name[] = []
  for (const name in columns) names.push(name)
  return names
}

/** One row, read as the columns' types have it. */
export class Row<Name extends string> {
  readonly #values: ReadonlyMap<Name, string | null>
  constructor(values: ReadonlyMap<Name, string | null>) {
    this.#values = values
  }
  maybe(name: Name): string | null {
    return this.#values.get(name) ?? null
  }
  text(name: Name): string {
    return this.maybe(name) ?? fail(`null in ${name}`)
  }
  number(name: Name): number {
    return Number(this.text(name))
  }
  maybeNumber(name: Name): number | null {
    const text = this.maybe(name)
    return text === null ? null : Number(text)
  }
}

function fail(reason: string): never {
  throw new SqlError("23502", reason)
}

export function partitionOf(state: PostgresState, partition: number): PartitionRow {
  const row = state.partitions[partition]
  if (row === undefined) throw new Error(`no partition ${partition}`)
  return row
}

export function findGeneration(
  { generations }: PostgresState,
  wanted: { partition: number; generation: number },
): GenerationRow | undefined {
  return generations.find(
    ({ partition, generation }) =>
      partition === wanted.partition && generation === wanted.generation,
  )
}
