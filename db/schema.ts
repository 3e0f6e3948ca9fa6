import { sql } from "drizzle-orm"
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  uniqueIndex,
} from "drizzle-orm/pg-core"
import { count, fen, moment } from "./columns.ts"

/**
 * The record: the ledger and its books here, what accounts hold in accounts-schema.ts. Money is
 * `bigint` fen; the CHECKs hold the promises that one row can hold, and the flush statement
 * (queries/flush-batch.ts) those that need the row before it.
 *
 * Who writes what: `partitions`, `account_snapshots`, `change_records`, `usage_hourly`,
 * `counter_accounts` and `instructions.flushed` are written and locked by the flusher alone, so
 * that nothing which the account plane waits for can stop a flush.
 */

/** One row: facts that every process must agree on. `opening` is raised when scripts are loaded anew. */
export const ledger = pgTable("ledger", {
  id: boolean("id").primaryKey().default(true),
  partitions: integer("partitions").notNull(),
  opening: bigint("opening", { mode: "number" }).notNull().default(0),
  /** Raised by whatever revokes a service key; the scripts compare it with their meta's. */
  servicesVersion: integer("services_version").notNull().default(1),
})

/** The watermark: how far the stream of a partition has been flushed, and in which generation. */
export const partitions = pgTable("partitions", {
  partition: integer("partition").primaryKey(),
  generation: integer("generation").notNull().default(0),
  /** The highest generation that anybody has begun to build; from there on a claim begins. */
  claimed: integer("claimed").notNull().default(0),
  isOpen: boolean("is_open").notNull().default(false),
  entryNumber: count("entry_number").default(0),
  entryId: text("entry_id").notNull().default(""),
  records: count("records").default(0),
  flushedAt: moment("flushed_at"),
  stoppedBecause: text("stopped_because"),
  /** The opening number of the scripts that this partition's node runs. */
  opening: bigint("opening", { mode: "number" }).notNull().default(0),
  /** The last entry, and the records written, that Redis had when it was opened. */
  openedEntry: count("opened_entry").default(0),
  openedRecords: count("opened_records").default(0),
  /** Postgres was restored: what Redis knows better is flushed before anything is instructed. */
  isRefilling: boolean("is_refilling").notNull().default(false),
  /** Of the hash chain over the records above `chainStart`: its last hash, in hex. */
  chainHead: text("chain_head").notNull().default(""),
  chainStart: count("chain_start").default(0),
})

/** Each generation of a partition: with which record it began, and how it ended. */
export const generations = pgTable(
  "generations",
  {
    partition: integer("partition").notNull(),
    generation: integer("generation").notNull(),
    recordsBefore: count("records_before"),
    openedAt: moment("opened_at").notNull().defaultNow(),
    /** Number of its last entry, and of all records then; null while it runs. */
    lastEntry: bigint("last_entry", { mode: "number" }),
    lastRecords: bigint("last_records", { mode: "number" }),
    endedAt: moment("ended_at"),
  },
  (table) => [primaryKey({ columns: [table.partition, table.generation] })],
)

/** What a process saw in Redis that is not there any more, until the keeper has acted on it. */
export const losses = pgTable(
  "losses",
  {
    partition: integer("partition").notNull(),
    generation: integer("generation").notNull(),
    /** The opening at which it was found to be missing. */
    opening: bigint("opening", { mode: "number" }).notNull(),
    /** The opening under which it was seen: then it was there. */
    seenOpening: bigint("seen_opening", { mode: "number" }).notNull(),
    /** The highest entry that was seen, and the records written by then. */
    entryNumber: count("entry_number"),
    records: count("records"),
    /** Where the generation stood at that opening, or at its end. */
    hadEntry: count("had_entry"),
    hadRecords: count("had_records"),
    at: moment("at").notNull().defaultNow(),
    handled: boolean("handled").notNull().default(false),
  },
  (table) => [
    primaryKey({
      columns: [table.partition, table.generation, table.opening, table.seenOpening],
    }),
  ],
)

/** What processes have seen that cannot go on, until it can be compared with what is there. */
export const sightings = pgTable(
  "sightings",
  {
    partition: integer("partition").notNull(),
    generation: integer("generation").notNull(),
    opening: bigint("opening", { mode: "number" }).notNull(),
    entryNumber: count("entry_number"),
    records: count("records"),
  },
  (table) => [primaryKey({ columns: [table.partition, table.generation, table.opening] })],
)

/** What went wrong with a store, for the operator: never deleted. */
export const incidents = pgTable(
  "incidents",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    partition: integer("partition").notNull(),
    generation: integer("generation").notNull(),
    kind: text("kind").notNull(),
    /** The entries that are meant, and how many records; null where it is about none. */
    fromEntry: bigint("from_entry", { mode: "number" }),
    throughEntry: bigint("through_entry", { mode: "number" }),
    records: bigint("records", { mode: "number" }),
    detail: text("detail").notNull(),
    at: moment("at").notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("incidents_of_entries").on(
      table.partition,
      table.generation,
      table.kind,
      table.fromEntry,
    ),
  ],
)

/**
 * What a rebuild of Redis gives back of requests with an Idempotency-Key: those of the last 24 h
 * whose charge stands. The record itself says the rest.
 */
export const idempotencyResults = pgTable(
  "idempotency_results",
  {
    accountId: text("account_id").notNull(),
    seq: count("seq"),
    partition: integer("partition").notNull(),
    at: moment("at").notNull(),
    digest: text("digest").notNull(),
    /** 6 bytes, in base64: text in Postgres holds no zero byte. */
    fingerprint: text("fingerprint").notNull(),
    heldFen: fen("held_fen"),
    /** Somebody was given the answer again: whoever was told 503 of it does not take it back. */
    told: boolean("told").notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.accountId, table.seq] }),
    index("idempotency_results_at").on(table.partition, table.at),
  ],
)

/** Leaves of the hash chain whose record was erased: the chain goes on over them. */
export const erasedLeaves = pgTable(
  "erased_leaves",
  {
    partition: integer("partition").notNull(),
    position: count("position"),
    leaf: text("leaf").notNull(),
  },
  (table) => [primaryKey({ columns: [table.partition, table.position] })],
)

/** Every change of every balance. Partitioned by month in the migration; immutable. */
export const changeRecords = pgTable(
  "change_records",
  {
    accountId: text("account_id").notNull(),
    seq: count("seq"),
    type: smallint("type").notNull(),
    kind: text("kind").notNull(),
    amountFen: fen("amount_fen"),
    balanceBeforeFen: fen("balance_before_fen"),
    balanceAfterFen: fen("balance_after_fen"),
    description: text("description").notNull(),
    at: moment("at").notNull(),
    interface: text("interface"),
    quantity: integer("quantity"),
    keyId: text("key_id"),
    sourceId: text("source_id"),
    requestId: text("request_id"),
    partition: integer("partition").notNull(),
    position: count("position"),
    slot: text("slot"),
    batch: bigint("batch", { mode: "number" }),
  },
  (table) => [
    primaryKey({ columns: [table.accountId, table.seq, table.at] }),
    index("change_records_position").on(table.partition, table.position),
    // Few: finds the one of a charge, of which there is never a second.
    index("change_records_reversals").on(table.sourceId).where(sql`kind = 'reversal'`),
    check("amount_is_positive", sql`${table.amountFen} > 0`),
    check("balance_is_never_negative", sql`${table.balanceAfterFen} >= 0`),
    check(
      "before_and_amount_make_after",
      sql`${table.balanceAfterFen} = ${table.balanceBeforeFen} + case ${table.type} when 1 then ${table.amountFen} else -${table.amountFen} end`,
    ),
    check("type_is_recharge_or_deduct", sql`${table.type} in (1, 2)`),
  ],
)

/** Where every account stands at the watermark. A rebuild of Redis starts from these rows. */
export const accountSnapshots = pgTable(
  "account_snapshots",
  {
    accountId: text("account_id").primaryKey(),
    partition: integer("partition").notNull(),
    balanceFen: fen("balance_fen"),
    lastSeq: count("last_seq"),
    instructionNumber: integer("instruction_number").notNull(),
    authVersion: integer("auth_version").notNull(),
    status: text("status").notNull(),
    /** Of the leaves of its records, in hex; came with the instruction that opened the account. */
    chainKey: text("chain_key").notNull().default(""),
  },
  (table) => [
    index("account_snapshots_partition").on(table.partition),
    check("snapshot_is_never_negative", sql`${table.balanceFen} >= 0`),
  ],
)

/** The other side of every record, as sums: what came in and went out, per kind (promise 10). */
export const counterAccounts = pgTable(
  "counter_accounts",
  {
    partition: integer("partition").notNull(),
    kind: text("kind").notNull(),
    creditFen: fen("credit_fen"),
    debitFen: fen("debit_fen"),
  },
  (table) => [primaryKey({ columns: [table.partition, table.kind] })],
)

export const usageHourly = pgTable(
  "usage_hourly",
  {
    accountId: text("account_id").notNull(),
    keyId: text("key_id").notNull(),
    interface: text("interface").notNull(),
    hour: moment("hour").notNull(),
    calls: count("calls").default(0),
    amountFen: fen("amount_fen").default(0),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.hour, table.keyId, table.interface] })],
)

/**
 * Each time that the books were recomputed from nothing, or shall be: asked for, started by whoever
 * carries it out, told to be under way, and finished, with what was found.
 */
export const reconciliationRuns = pgTable(
  "reconciliation_runs",
  {
    id: text("id").primaryKey(),
    /** An administrator's account id, or `system`. */
    askedBy: text("asked_by").notNull(),
    askedAt: moment("asked_at").notNull().defaultNow(),
    startedAt: moment("started_at"),
    /** When it was last told to go on; one that is silent for long is started again. */
    aliveAt: moment("alive_at"),
    finishedAt: moment("finished_at"),
    accounts: count("accounts").default(0),
    records: count("records").default(0),
    driftFen: fen("drift_fen").default(0),
    findings: text("findings").array().notNull().default(sql`'{}'`),
    /** Why it could not be finished. */
    failure: text("failure"),
  },
  (table) => [index("reconciliation_runs_asked_at").on(table.askedAt)],
)

/** Accounts whose balance in Redis is not what Postgres and the unflushed records make it. */
export const drifts = pgTable("drifts", {
  accountId: text("account_id").primaryKey(),
  partition: integer("partition").notNull(),
  driftFen: fen("drift_fen"),
  detail: text("detail").notNull(),
  foundAt: moment("found_at").notNull().defaultNow(),
})

/** How far the books have been proven (src/reconcile): records at or below the position are final. */
export const reconciliation = pgTable("reconciliation", {
  partition: integer("partition").primaryKey(),
  reconciledPosition: count("reconciled_position").default(0),
  reconciledThrough: moment("reconciled_through"),
  driftFen: fen("drift_fen").default(0),
  checkedAt: moment("checked_at").notNull(),
})
