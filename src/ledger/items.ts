import type { AccountId } from "../ids.ts"
import type { Fen } from "../money.ts"

/** What the items of a batch ask of lua/decide.lua, and its answers in the words of its header. */

/** What an API key may spend; null: no such limit. The script compares them at every call. */
export type KeyLimits = {
  keyId: string
  /** Which life of the key's counter: raised whenever a key without limits comes to have some. */
  version: number
  /** Per day and month of Asia/Shanghai, and for ever. */
  dailyFen: Fen | null
  monthlyFen: Fen | null
  totalFen: Fen | null
  ratePerSecond: number | null
  expiresAtMs: number | null
}

/** One request with an Idempotency-Key. */
export type Idempotency = {
  /** 16 characters that stand for account, credential, method, path and key. */
  digest: string
  /** 6 latin1 characters that stand for what the request asks for. */
  fingerprint: string
  /** A repeat is refused and not answered again: on /api, where an answer is worth the money. */
  isOnce: boolean
}

type Spending = {
  accountId: AccountId
  amountFen: Fen
  /** The account's auth version under which the key was verified; null: a service names the account. */
  authVersion: number | null
  /** The version under which a service key was verified; null: no service key. */
  servicesVersion: number | null
  limits: KeyLimits | null
  idempotency: Idempotency | null
  /** Kept as it is and read again by the flusher: see `chargeDetails`. */
  details: string
}

export type ChargeItem = Spending
export type HoldItem = Spending & {
  ttlMs: number
  /** Of a forwarded call: nobody else ever names it, so that nothing of it is kept once resolved. */
  isInternal: boolean
}
/** `amountFen` null: all that is held. */
export type CaptureItem = {
  holdId: string
  amountFen: Fen | null
  idempotency: Idempotency | null
}
export type VoidItem = { holdId: string; idempotency: Idempotency | null }

/** What is left of a key's calls per second; `resetMs` until one more (or, if some are left, all). */
export type Rate = { limit: number; remaining: number; resetMs: number }

export type Charged = {
  status: "accepted"
  /** The stored answer of an earlier request with the same Idempotency-Key. */
  isReplay: boolean
  amountFen: Fen
  balanceFen: Fen
  heldFen: Fen
  seq: number
  atMs: number
  rate: Rate | null
}

export type Held = {
  status: "held"
  isReplay: boolean
  holdId: string
  amountFen: Fen
  balanceFen: Fen
  heldFen: Fen
  expiresAtMs: number
  rate: Rate | null
}

export type Voided = { status: "voided"; isReplay: boolean; balanceFen: Fen; heldFen: Fen }

/** Nothing happened, or nothing that was not undone. */
export type Unavailable = { status: "unavailable" }

type Repeated =
  | { status: "idempotency_key_reused" }
  | { status: "request_in_progress" }
  | { status: "already_charged"; amountFen: Fen; seq: number; atMs: number }

/** Why a charge or a hold was not made. `rate` is there wherever the key has a rate limit. */
export type SpendingRefused = (
  | Repeated
  | { status: "account_unknown" }
  | { status: "account_frozen" }
  | { status: "account_closed" }
  | { status: "auth_changed"; authVersion: number }
  | { status: "service_changed" }
  | { status: "insufficient_balance"; balanceFen: Fen; heldFen: Fen }
  | { status: "key_expired" }
  | { status: "key_budget_reached"; limitSource: "daily" | "monthly" | "total" }
  | { status: "rate_limited" }
  /** The key's counter must be seeded from the record first: see `Ledger.seedCounter`. */
  | { status: "counter_missing" }
) & { rate: Rate | null }

type HoldRefused =
  | { status: "hold_not_found" }
  | { status: "hold_already_resolved" }
  | { status: "hold_expired" }
  | { status: "hold_lost" }

export type ChargeOutcome = Charged | SpendingRefused | Unavailable
export type HoldOutcome = Held | SpendingRefused | Unavailable
/** `details` are those of the hold. */
export type CaptureOutcome =
  | (Charged & { details: string })
  | Repeated
  | HoldRefused
  | { status: "capture_exceeds_hold"; holdFen: Fen }
  | Unavailable
export type VoidOutcome = Voided | Repeated | HoldRefused | Unavailable
