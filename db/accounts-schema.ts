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
  text,
  uniqueIndex,
} from "drizzle-orm/pg-core"
import { count, createdAt, fen, moment } from "./columns.ts"

/** The account plane: accounts and what they hold, and what administrators set. See schema.ts. */

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
