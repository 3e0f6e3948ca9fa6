import { sql } from "drizzle-orm"
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
} from "drizzle-orm/pg-core"

/**
 * The record. Money is `bigint` fen; the CHECKs hold the promises that one row can hold, and the
 * flush statement (queries/flush-batch.ts) those that need the row before it.
 *
 * Who writes what: `partitions`, `account_snapshots`, `change_records`, `usage_hourly`,
 * `counter_accounts` and `instructions.flushed` are written and locked by the flusher alone, so
 * that nothing which the account plane waits for can stop a flush.
 */

const fen = (name: string) => bigint(name, { mode: "number" }).notNull()
const count = (name: string) => bigint(name, { mode: "number" }).notNull()
const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })
const createdAt = () => moment("created_at").notNull().defaultNow()

// ---- the ledger's watermark and its books (flusher)

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
  isOpen: boolean("is_open").notNull().default(false),
  entryNumber: count("entry_number").default(0),
  entryId: text("entry_id").notNull().default(""),
  records: count("records").default(0),
  flushedAt: moment("flushed_at"),
  stoppedBecause: text("stopped_because"),
})

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

/** How far the books have been proven (src/reconcile): records at or below the position are final. */
export const reconciliation = pgTable("reconciliation", {
  partition: integer("partition").primaryKey(),
  reconciledPosition: count("reconciled_position").default(0),
  reconciledThrough: moment("reconciled_through"),
  driftFen: fen("drift_fen").default(0),
  checkedAt: moment("checked_at").notNull(),
})

// ---- accounts and what they hold (account plane)

export const accounts = pgTable("accounts", {
  id: text("id").primaryKey(),
  email: text("email").notNull().unique(),
  passwordHash: text("password_hash").notNull(),
  role: text("role").notNull().default("developer"),
  inviteCode: text("invite_code").notNull().unique(),
  /** Raised by whatever revokes a credential; the scripts compare it (DESIGN section 4). */
  authVersion: integer("auth_version").notNull().default(1),
  /** The highest number given to an instruction of this account. */
  lastInstruction: integer("last_instruction").notNull().default(1),
  createdAt: createdAt(),
})

/** Orders from Postgres to Redis about one account, numbered 1, 2, 3 … (DESIGN section 5). */
export const instructions = pgTable(
  "instructions",
  {
    accountId: text("account_id").notNull(),
    number: integer("number").notNull(),
    kind: text("kind").notNull(),
    amountFen: fen("amount_fen").default(0),
    authVersion: integer("auth_version").notNull().default(0),
    sourceId: text("source_id"),
    description: text("description").notNull().default(""),
    createdAt: createdAt(),
    /** Set by the flush of its stream record, and by nothing else. */
    flushed: boolean("flushed").notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.accountId, table.number] }),
    index("instructions_not_flushed").on(table.createdAt).where(sql`not flushed`),
    check("credit_is_not_negative", sql`${table.amountFen} >= 0`),
  ],
)

/** A login. The access token itself is shown once; only its SHA-256 is kept. */
export const sessions = pgTable(
  "sessions",
  {
    id: text("id").primaryKey(),
    accountId: text("account_id")
      .notNull()
      .references(() => accounts.id),
    tokenHash: text("token_hash").notNull().unique(),
    address: text("address").notNull(),
    createdAt: createdAt(),
    expiresAt: moment("expires_at").notNull(),
  },
  (table) => [index("sessions_account").on(table.accountId)],
)

export const apiKeys = pgTable(
  "api_keys",
  {
    id: text("id").primaryKey(),
    accountId: text("account_id")
      .notNull()
      .references(() => accounts.id),
    name: text("name").notNull(),
    keyHash: text("key_hash").notNull().unique(),
    /** The secret before the last rotation, which opens the key until `previousExpiresAt`. */
    previousHash: text("previous_hash").unique(),
    previousExpiresAt: moment("previous_expires_at"),
    enabled: boolean("enabled").notNull().default(true),
    createdAt: createdAt(),
    // Limits; null: none. The script compares budgets, rate and expiry (lua/decide.lua).
    dailyFen: bigint("daily_fen", { mode: "number" }),
    monthlyFen: bigint("monthly_fen", { mode: "number" }),
    totalFen: bigint("total_fen", { mode: "number" }),
    ratePerSecond: integer("rate_per_second"),
    expiresAt: moment("expires_at"),
    allowedCidrs: text("allowed_cidrs").array(),
    interfaces: text("interfaces").array(),
    /** The auth version at which the key came to have limits; 0: it was made with them. */
    limitsVersion: integer("limits_version").notNull().default(0),
  },
  (table) => [
    index("api_keys_account").on(table.accountId, table.createdAt),
    check(
      "limits_are_positive",
      sql`${table.dailyFen} > 0 and ${table.monthlyFen} > 0 and ${table.totalFen} > 0 and ${table.ratePerSecond} > 0`,
    ),
  ],
)

/** Credentials of a provider's backend, which charge on behalf of accounts. */
export const serviceKeys = pgTable("service_keys", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  keyHash: text("key_hash").notNull().unique(),
  enabled: boolean("enabled").notNull().default(true),
  createdAt: createdAt(),
})

/** Reversals asked for by a service key: one a charge, for ever. */
export const reversals = pgTable(
  "reversals",
  {
    chargeId: text("charge_id").primaryKey(),
    accountId: text("account_id").notNull(),
    amountFen: fen("amount_fen"),
    instruction: integer("instruction").notNull(),
    serviceKeyId: text("service_key_id").notNull(),
    /** Of the Idempotency-Key with which it was asked for: that request is answered again. */
    idempotencyDigest: text("idempotency_digest"),
    at: moment("at").notNull().defaultNow(),
  },
  (table) => [index("reversals_account").on(table.accountId)],
)

/** Calls that were refused or failed: counted by gateways, no money, no record. */
export const usageUnpaid = pgTable(
  "usage_unpaid",
  {
    accountId: text("account_id").notNull(),
    keyId: text("key_id").notNull(),
    interface: text("interface").notNull(),
    hour: moment("hour").notNull(),
    refused: count("refused").default(0),
    failed: count("failed").default(0),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.hour, table.keyId, table.interface] })],
)

/** The price list. */
export const interfaces = pgTable(
  "interfaces",
  {
    id: text("id").primaryKey(),
    name: text("name").notNull(),
    method: text("method").notNull(),
    path: text("path").notNull(),
    priceFen: fen("price_fen"),
    /** `2xx`, `always`, or a list of statuses: which answers of the upstream are charged. */
    chargeOn: text("charge_on").notNull().default("2xx"),
    /** Where calls of /api are forwarded; null: nowhere, the interface is only charged. */
    upstreamUrl: text("upstream_url"),
    timeoutMs: integer("timeout_ms").notNull().default(30_000),
    bodyBytesMax: bigint("body_bytes_max", { mode: "number" }).notNull().default(1_073_741_824),
  },
  (table) => [
    uniqueIndex("interfaces_method_path").on(table.method, table.path),
    check("price_is_positive", sql`${table.priceFen} > 0`),
  ],
)

export const redemptionCodes = pgTable(
  "redemption_codes",
  {
    id: text("id").primaryKey(),
    code: text("code").notNull().unique(),
    amountFen: fen("amount_fen"),
    /** Null: any number of accounts may redeem it, each once. */
    totalUses: integer("total_uses"),
    used: integer("used").notNull().default(0),
    startsAt: moment("starts_at"),
    expiresAt: moment("expires_at"),
    enabled: boolean("enabled").notNull().default(true),
    note: text("note"),
    createdAt: createdAt(),
  },
  (table) => [
    check("face_value_is_positive", sql`${table.amountFen} > 0`),
    check(
      "uses_stay_within_total",
      sql`${table.totalUses} is null or ${table.used} <= ${table.totalUses}`,
    ),
  ],
)

export const redemptions = pgTable(
  "redemptions",
  {
    id: text("id").primaryKey(),
    codeId: text("code_id")
      .notNull()
      .references(() => redemptionCodes.id),
    accountId: text("account_id").notNull(),
    amountFen: fen("amount_fen"),
    at: moment("at").notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("redemptions_once_per_account").on(table.codeId, table.accountId),
    index("redemptions_account").on(table.accountId),
  ],
)

/** Every administrative act. Append-only: a trigger refuses update and delete. */
export const auditLog = pgTable(
  "audit_log",
  {
    id: text("id").primaryKey(),
    actor: text("actor").notNull(),
    action: text("action").notNull(),
    target: text("target").notNull(),
    details: jsonb("details").notNull(),
    requestId: text("request_id"),
    address: text("address"),
    at: moment("at").notNull().defaultNow(),
  },
  (table) => [index("audit_log_at").on(table.at)],
)

/** Counted attempts (failed logins, unknown codes, registrations) in fixed windows. */
export const attempts = pgTable(
  "attempts",
  {
    key: text("key").primaryKey(),
    count: integer("count").notNull(),
    windowEndsAt: moment("window_ends_at").notNull(),
  },
  (table) => [index("attempts_window").on(table.windowEndsAt)],
)
