/** Every bound, batch size and timeout, with its unit last, and how they relate. */

// ---- the HTTP edge
export const BODY_BYTES_MAX = 65_536
/** Bun's own bound, whose bare 413 no hook sees: far above every bound of ours. */
export const SERVER_BODY_BYTES_MAX = 1_099_511_627_776
/** How deeply a body may be nested; one this small cannot be nested so deeply that it matters. */
export const JSON_DEPTH_MAX = 32
export const JSON_SHALLOW_BYTES = 256
/** How many faults of one request are listed in its refusal. */
export const VIOLATIONS_MAX = 20
export const DESCRIPTION_CHARS_MAX = 200
export const QUANTITY_MAX = 1_000_000
export const PAGE_ITEMS_DEFAULT = 50
export const PAGE_ITEMS_MAX = 200
export const PASSWORD_CHARS_MIN = 8
export const PASSWORD_CHARS_MAX = 256
/** Passwords are hashed one at a time; past so many waiting, a call is refused with 503. */
export const PASSWORDS_WAITING_MAX = 100
export const SESSION_TTL_MS = 30 * 86_400_000
export const EMAIL_CHARS_MAX = 254
/** How often a redemption that lost a race is tried anew. */
export const RACES_MAX = 20
export const KEYS_PER_ACCOUNT_MAX = 100
export const CODES_PER_REQUEST_MAX = 1_000
export const EXPORT_ROWS_READ = 500
/** /readyz answers within a second, also when a store hangs. */
export const READINESS_TIMEOUT_MS = 800
/** Of it, how long a partition may take to be read: one that hangs says nothing of the others. */
export const HEALTH_READ_MS = 600

/** How long what changes the account plane waits until a Postgres that was restarted has been compared. */
export const RECORD_WAIT_MS = 2_000
export const RECORD_POLL_MS = 50

// ---- attempts that are counted per address or account
export const FAILED_ATTEMPTS_MAX = 10
export const FAILED_ATTEMPTS_WINDOW_MS = 15 * 60_000
/** Per address: many people may share one. */
export const FAILED_ATTEMPTS_ADDRESS_MAX = 100
export const REGISTRATION_WINDOW_MS = 3_600_000

// ---- the batcher
/** 128 items keep Redis busy for about 1 ms; 1,000 would stop it for 7 ms. */
export const BATCH_ITEMS_MAX = 128
/** How long a batch may be without an answer before its callers get 503 and it is revoked. */
export const BATCH_DEADLINE_MS = 230
/** How long a batch waits to become as large as usual; where few are usual, it does not wait. */
export const LINGER_MS_MAX = 1
export const LINGER_ITEMS_MIN = 16
/** How long a call may wait before it is sent: for one batch before its own. */
export const QUEUE_WAIT_MS = 200
/** How long a 503 waits for its revoke to be on the disk; a disk that hangs is no reason to hang. */
export const REVOKE_FILE_MS = 60
/** How long a process that stops waits for a batch to be settled; its file settles it otherwise. */
export const STOP_SETTLE_MS = 3_000
/** Promise 9: an answer within this time, whatever happened. */
export const UNAVAILABLE_ANSWER_MS_MAX = 500
export const SETTLE_RETRY_MS = 50
/** How long a call waits for what Redis has of its account, where that is not decided by a batch. */
export const READ_DEADLINE_MS = 400
/** After which a command's outcome is unknown, and its connection is not trusted any more. */
export const SETTLE_COMMAND_TIMEOUT_MS = 1_000
export const REOPEN_POLL_MS = 100

// ---- holds
export const EXPIRY_INTERVAL_MS = 1_000
export const EXPIRIES_PER_SWEEP_MAX = 1_000
/** Nothing expires while the clocks of Redis and Postgres are further apart. */
export const CLOCKS_APART_MS_MAX = 5_000

// ---- counters of keys with limits
/** How long a call waits until Postgres has what its key spent before it had limits. */
export const SEED_DEADLINE_MS = 400
export const SEED_POLL_MS = 50

// ---- what is kept of requests with an Idempotency-Key, and of resolved holds
export const IDEMPOTENCY_TTL_MS = 86_400_000
/** How often those in Postgres whose time is over are deleted, and how many a statement. */
export const FORGET_INTERVAL_MS = 60_000
export const FORGET_RESULTS_MAX = 10_000

// ---- back-pressure
/** Records that Postgres may lag behind before charges are refused; about 150 B of Redis each. */
export const UNFLUSHED_RECORDS_MAX = 2_000_000
/** Shares of Redis's maxmemory: from the first on charges are refused, below the second they go on. */
export const MEMORY_SHARE_SHORT = 0.85
export const MEMORY_SHARE_ENOUGH = 0.8

// ---- Redis
/** How long a process that starts waits for it. */
export const REDIS_START_MS = 10_000
/** And for each master of a Cluster: one that is away keeps nobody from starting. */
export const REDIS_MASTER_START_MS = 1_000
/** How often processes look at it while nobody calls; and at a Cluster, which master has what. */
export const REDIS_POLL_MS = 250

// ---- replicas of Redis
/** How long a batch waits for them at most: a part of its deadline. */
export const WAIT_MS_MAX = 150

// ---- the flusher
/** Where cores are busy and this many records wait, flushing steps back for calls: see yielding.ts. */
export const YIELD_RECORDS_MIN = 20_000
/** Half of what may wait at all: from there on the flusher has its time whatever happens. */
export const YIELD_RECORDS_MAX = 1_000_000
/** Records a second: more than one flusher and Postgres write on two busy cores (40,000, measured). */
export const YIELD_RATE_MIN = 50_000
export const YIELD_MS_MAX = 15_000
/** So many times as long as the flush took: an eighth of its speed. */
export const YIELD_FACTOR = 7
export const YIELD_IDLE_SHARE_MAX = 0.1
export const FLUSH_RECORDS_MAX = 5_000
/** A batch as large as this says that more is waiting: the next one follows at once. */
export const FLUSH_RECORDS_FULL = 2_000
export const FLUSH_ENTRIES_MAX = 512
/** Between flushes, so that few large statements do the work of many small ones. */
export const FLUSH_INTERVAL_MS = 250
export const FLUSH_RETRY_MS = 250
export const FLUSH_STOPPED_MS = 2_000
export const FLUSH_COMMAND_TIMEOUT_MS = 5_000
/** Flushed entries that stay in the stream, so that a restored Postgres can be filled up again. */
export const TAIL_MS = 300_000
export const TAIL_ENTRIES_MAX = 50_000

/** How many chain keys of accounts a flusher keeps: about 150 B each. */
export const CHAIN_KEYS_MAX = 50_000
/** How often the heads of the hash chains are written to a file, and how long that may take at the end. */
export const ANCHOR_INTERVAL_MS = 60_000
export const ANCHOR_DEADLINE_MS = 2_000
/** Records of a chain that are read and hashed at a time. */
export const VERIFY_PAGE = 5_000

// ---- credits
export const SWEEP_INTERVAL_MS = 1_000
export const SWEEP_ACCOUNTS_MAX = 1_000
/** A request applies its own instruction; the sweep takes only what is older than this. */
export const SWEEP_AGE_MS = 2_000
export const APPLY_INSTRUCTIONS_MAX = 64
export const APPLY_DEADLINE_MS = 1_000

// ---- keys' limits, rotation, reversals
export const KEY_CIDRS_MAX = 50
export const KEY_INTERFACES_MAX = 100
export const KEY_RATE_PER_SECOND_MAX = 1_000_000
/** How long a former secret may go on opening its key: a week. */
export const ROTATION_OVERLAP_SECONDS_MAX = 604_800
/** How long a reversal waits for the flush of its charge, and for that of its own record. */
export const REVERSAL_CHARGE_WAIT_MS = 1_000
export const REVERSAL_RECORD_WAIT_MS = 2_000
export const REVERSAL_POLL_MS = 25

// ---- calls
export const IDEMPOTENCY_KEY_CHARS_MAX = 255
export const BATCH_CHARGES_MAX = 1_000
export const BATCH_BODY_BYTES_MAX = 1_048_576
export const HOLD_TTL_SECONDS_DEFAULT = 60
export const HOLD_TTL_SECONDS_MAX = 86_400
/** How often refused and failed calls are written, and how many kinds of them wait at most. */
export const UNPAID_WRITE_MS = 2_000
export const UNPAID_COUNTS_MAX = 50_000

// ---- interfaces, and calls that are forwarded
export const INTERFACES_REFRESH_MS = 5_000
/** How often, at most, the list is read because a call names what is not in it. */
export const INTERFACES_RELOAD_MS = 250
export const INTERFACES_LOAD_MS = 400
export const UPSTREAM_TIMEOUT_MS_DEFAULT = 30_000
export const UPSTREAM_TIMEOUT_MS_MIN = 100
export const UPSTREAM_TIMEOUT_MS_MAX = 600_000
/** What an interface may allow a request's body to have: 64 GiB. */
export const INTERFACE_BODY_BYTES_MAX = 68_719_476_736
export const INTERFACE_BODY_BYTES_DEFAULT = 1_073_741_824
/** A body up to this length is read before it is forwarded; longer ones are streamed. */
export const SMALL_BODY_BYTES_MAX = 65_536
/** How often calls that wait for their upstream are looked at: for deadlines and hung-up callers. */
export const WATCH_INTERVAL_MS = 50
/** How much longer than its upstream may take the hold of a call stands: for its capture. */
export const HOLD_MARGIN_MS = 10_000
/** A void that failed is sent again so often, so far apart; then the hold's own end voids it. */
export const VOID_ATTEMPTS_MAX = 5
export const VOID_RETRY_MS = 500
/** How often, at most, the same fault of many calls is logged. */
export const SPARING_LOG_MS = 1_000

// ---- the rest
export const KEY_CACHE_ENTRIES_MAX = 200_000
/** How often one call learns an auth version anew before it is refused. */
export const AUTH_RELOADS_MAX = 3
export const KEEPER_INTERVAL_MS = 250
/** Accounts, or results, that a rebuild reads and writes at a time. */
export const REBUILD_PAGE = 1_000
export const KEEPER_ATTEMPT_MS = 10_000
/** How long a call waits for Postgres to say whose key it carries. */
export const KEY_LOOKUP_MS = 400
/** Longer than a flush's own statement timeout: past it, nobody answers any more. */
export const FLUSH_DEADLINE_MS = 15_000
export const RECONCILE_INTERVAL_MS = 1_000
export const RECONCILE_RECORDS_MAX = 100_000
/** What a recomputation of the books reads at a time. */
export const RECONCILE_RECORDS_PAGE = 100_000
export const RECONCILE_ACCOUNTS_PAGE = 1_000
/** Past so long without a proof, or without a sign of a run, nobody is taken to work on it. */
export const RECONCILE_SILENT_MS = 60_000
/** Accounts that a change of the number of partitions looks at, and moves, at a time. */
export const REPARTITION_PAGE = 10_000
/** Accounts that are compared with Redis each second, in turn. */
export const SAMPLE_ACCOUNTS = 1_000
/** Where more entries are not flushed yet, accounts that move are left for the next turn. */
export const SAMPLE_ENTRIES_MAX = 50
/** Known drifts that are looked at again each second. */
export const SAMPLE_DRIFTS_MAX = 1_000
export const STOP_TIMEOUT_MS = 10_000
/** Connections to Postgres that the gateways of one installation share, for look-ups. */
export const POSTGRES_CONNECTIONS_MAX = 60
/** How long a gateway that starts waits for billing before it says that it listens. */
export const GATEWAY_READY_MS = 5_000

// ---- a proxy in front that asks /v1/authorize
/** nginx takes a head of 4 KiB from whom it asks: a longer problem is told by its code alone. */
export const PROBLEM_HEADER_CHARS_MAX = 2_000

// ---- how a gateway process leaves
/** How long it waits for the process that is started in its place. */
export const REPLACEMENT_MS_MAX = 15_000
/** STOP_NOTICE_SECONDS may not be longer. */
export const STOP_NOTICE_SECONDS_MAX = 60
/** A handshake that had begun when the port closed ends within a round trip. */
export const HANDSHAKE_MS = 250
/** On loopback within a turn of the kernel: 5 ms were enough on two busy cores, 1 ms was not. */
export const HANDSHAKE_LOOPBACK_MS = 50
export const ACCEPT_MS_MAX = 1_000
/** A connection on which nothing came for this long is idle, and closed. */
export const DRAIN_QUIET_MS = 1_000
export const DRAIN_POLL_MS = 20
/** How long calls in flight may take to end; what streams longer is cut off. */
export const DRAIN_MS_MAX = 30_000
/** After which the supervisor ends a gateway that did not end by itself. */
export const GATEWAY_STOP_TIMEOUT_MS = 120_000
/** How long `/metrics` waits for the other gateways, and these for each other. */
export const GATHER_TIMEOUT_MS = 1_000
export const FIGURES_TIMEOUT_MS = 500

// A call waits for the batch before its own and for its own: both must fit into promise 9.
if (QUEUE_WAIT_MS + BATCH_DEADLINE_MS + REVOKE_FILE_MS >= UNAVAILABLE_ANSWER_MS_MAX) {
  throw new RangeError(
    "QUEUE_WAIT_MS, BATCH_DEADLINE_MS and REVOKE_FILE_MS must fit into UNAVAILABLE_ANSWER_MS_MAX",
  )
}
// A flush reads whole entries: one entry must never be larger than a flush.
if (BATCH_ITEMS_MAX > FLUSH_RECORDS_MAX) {
  throw new RangeError("FLUSH_RECORDS_MAX must hold the records of a whole entry")
}
// A batch is composed before the one before it is committed: keys of both must be kept.
if (CHAIN_KEYS_MAX < 2 * FLUSH_RECORDS_MAX) {
  throw new RangeError("CHAIN_KEYS_MAX must hold the accounts of two flushes")
}
// The flusher must catch up before charges are refused.
if (2 * YIELD_RECORDS_MAX > UNFLUSHED_RECORDS_MAX) {
  throw new RangeError("YIELD_RECORDS_MAX must be half of UNFLUSHED_RECORDS_MAX at most")
}
// A body of ours must be refused by us, with a problem that says so.
if (Math.max(BATCH_BODY_BYTES_MAX, INTERFACE_BODY_BYTES_MAX) >= SERVER_BODY_BYTES_MAX) {
  throw new RangeError("SERVER_BODY_BYTES_MAX must be above every bound of a body")
}
if (BODY_BYTES_MAX > BATCH_BODY_BYTES_MAX) {
  throw new RangeError("BATCH_BODY_BYTES_MAX must be BODY_BYTES_MAX or more")
}
// The sweep must not race the request that made the instruction.
if (SWEEP_AGE_MS <= APPLY_DEADLINE_MS) {
  throw new RangeError("SWEEP_AGE_MS must outlast APPLY_DEADLINE_MS")
}
// A hold must outlast its upstream, the look at deadlines, and its capture.
if (HOLD_MARGIN_MS <= WATCH_INTERVAL_MS + UNAVAILABLE_ANSWER_MS_MAX) {
  throw new RangeError("HOLD_MARGIN_MS must outlast WATCH_INTERVAL_MS and a capture")
}
// A call whose key must be looked up answers in time as well.
if (KEY_LOOKUP_MS >= UNAVAILABLE_ANSWER_MS_MAX) {
  throw new RangeError("KEY_LOOKUP_MS must fit into UNAVAILABLE_ANSWER_MS_MAX")
}
// The supervisor waits until a gateway has left, its ledger included.
const LEAVING_MS_MAX =
  Math.max(REPLACEMENT_MS_MAX, STOP_NOTICE_SECONDS_MAX * 1_000) +
  (HANDSHAKE_MS + ACCEPT_MS_MAX + DRAIN_MS_MAX)
if (GATEWAY_STOP_TIMEOUT_MS < LEAVING_MS_MAX + STOP_TIMEOUT_MS) {
  throw new RangeError("GATEWAY_STOP_TIMEOUT_MS must outlast the drain of a gateway")
}
// Who gathers must hear the answer that was waited for.
if (FIGURES_TIMEOUT_MS >= GATHER_TIMEOUT_MS) {
  throw new RangeError("FIGURES_TIMEOUT_MS must fit into GATHER_TIMEOUT_MS")
}
