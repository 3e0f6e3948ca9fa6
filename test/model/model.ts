/**
 * What the ledger is for, in pure functions over plain values: no Redis, no packing, no time but what it
 * is told. No movement touches more than one account, so the model is of one account.
 */

export type Key = { digest: string; fingerprint: string; isOnce: boolean }

type Spending = { amountFen: number; authVersion: number; key: Key | null }

/** One operation, as a client asks for it. `op` names it, and stands in the records that it makes. */
export type Request = { op: string; key: Key | null } & (
  | ({ verb: "charge" } & Spending)
  | ({ verb: "hold"; ttlMs: number; isForwarded: boolean } & Spending)
  /** `hold` is the operation that made it; `amountFen` null: all of it. */
  | { verb: "capture"; hold: string; amountFen: number | null }
  | { verb: "void"; hold: string }
)

export type Answer = { readonly status: string; readonly [name: string]: Plain }
type Plain = string | number | boolean | null

export type Hold = {
  amountFen: number
  expiresAtMs: number
  /** `gone`: nothing is kept of it; `lost`: it did not outlive its generation. */
  state: "open" | "captured" | "voided" | "expired" | "gone" | "lost"
  /** Of a call of /api: nobody names it once it is resolved. */
  isForwarded: boolean
  /** The keyed request whose call runs. */
  running: string | null
}

/** What is kept of a keyed request, and the operation that made it. */
export type Result = {
  by: string
  state: "charged" | "held" | "running" | "voided"
  fingerprint: string
  answer: Answer
}

export type Account = {
  balanceFen: number
  heldFen: number
  /** Of the last change record, and of the last instruction. */
  seq: number
  instruction: number
  authVersion: number
  /** By the operation that made it. */
  holds: ReadonlyMap<string, Hold>
  /** By the digest of the key. */
  results: ReadonlyMap<string, Result>
}

/** What the next record has to say. */
export type Movement = {
  kind: "charge" | "capture" | "reversal" | Instruction["kind"]
  amountFen: number
  balanceAfterFen: number
  /** The operation, or the source of the credit; of a reversal the number of the record it takes back. */
  cause: string
}

export type Decision = {
  account: Account
  answer: Answer
  movement: Movement | null
  /** The operation whose result was told again. */
  told: string | null
}

/** An order that was committed in Postgres first. */
export type Instruction = {
  kind: "redemption" | "auth_version"
  number: number
  amountFen: number
  authVersion: number
  cause: string
}

export const NOBODY: Account = {
  ...{ balanceFen: 0, heldFen: 0, seq: 0, instruction: 1, authVersion: 1 },
  ...{ holds: new Map(), results: new Map() },
}

export function decide(account: Account, request: Request, nowMs: number): Decision {
  return request.verb === "charge" || request.verb === "hold"
    ? spend(account, request, nowMs)
    : resolve(account, request, nowMs)
}

function spend(
  account: Account,
  request: Request & { verb: "charge" | "hold" },
  nowMs: number,
): Decision {
  const { balanceFen, heldFen, authVersion } = account
  const { op, amountFen, key } = request
  if (request.authVersion !== authVersion) return refuse(account, "auth_changed", { authVersion })
  const repeated = repeat(account, key)
  if (repeated !== null) return repeated
  if (balanceFen - heldFen < amountFen) {
    return refuse(account, "insufficient_balance", { balanceFen, heldFen })
  }
  if (request.verb === "hold") return hold(account, request, nowMs)
  const [after, answer] = take(account, amountFen, nowMs)
  const movement = { kind: "charge", ...movedBy(answer), cause: op } as const
  return decided(remember(after, key, { by: op, state: "charged", answer }), answer, movement)
}

function hold(account: Account, request: Request & { verb: "hold" }, nowMs: number): Decision {
  const { op, amountFen, key, ttlMs, isForwarded } = request
  const expiresAtMs = nowMs + ttlMs
  const running = isForwarded ? (key?.digest ?? null) : null
  const made: Hold = { amountFen, expiresAtMs, state: "open", isForwarded, running }
  const heldFen = account.heldFen + amountFen
  const after = { ...account, heldFen, holds: put(account.holds, op, made) }
  const { balanceFen } = account
  const told = { status: "held", isReplay: false, hold: op, amountFen, expiresAtMs }
  const answer = { ...told, balanceFen, heldFen }
  const state = running === null ? "held" : "running"
  return decided(remember(after, key, { by: op, state, answer }), answer)
}

function resolve(
  account: Account,
  request: Request & { verb: "capture" | "void" },
  nowMs: number,
): Decision {
  const found = account.holds.get(request.hold)
  if (found?.state === "lost") return refuse(account, "hold_lost")
  const repeated = repeat(account, request.key)
  if (repeated !== null) return repeated
  if (found === undefined || found.state === "gone") return refuse(account, "hold_not_found")
  if (found.state === "expired") return refuse(account, "hold_expired")
  if (found.state !== "open") return refuse(account, "hold_already_resolved")
  if (request.verb === "void") return voidHold(account, request)
  if (nowMs >= found.expiresAtMs) return refuse(account, "hold_expired")
  const amountFen = request.amountFen ?? found.amountFen
  const { amountFen: holdFen, running } = found
  if (amountFen > holdFen) return refuse(account, "capture_exceeds_hold", { holdFen })
  return capture(account, { ...request, amountFen }, { running, nowMs })
}

/** It took nothing, so that nothing of it is ever taken back. */
function voidHold(account: Account, { op, hold, key }: Request & { verb: "void" }): Decision {
  const after = expire(account, hold, "voided")
  const { balanceFen, heldFen } = after
  const answer = { status: "voided", isReplay: false, balanceFen, heldFen }
  return decided(remember(after, key, { by: op, state: "voided", answer }), answer)
}

function capture(
  account: Account,
  { op, hold, amountFen, key }: Request & { verb: "capture"; amountFen: number },
  { running, nowMs }: { running: string | null; nowMs: number },
): Decision {
  const [after, taken] = take(close(account, hold, "captured"), amountFen, nowMs)
  const answer = { ...taken, details: hold }
  const made = { by: op, state: "charged", answer } as const
  const ran = running === null ? undefined : after.results.get(running)
  const results =
    running === null || ran === undefined
      ? after.results
      : put(after.results, running, { ...ran, ...made })
  const movement = { kind: "capture", ...movedBy(answer), cause: hold } as const
  return decided(remember({ ...after, results }, key, made), answer, movement)
}

/** The answer to a request whose key is known already; null where it is not. */
function repeat(account: Account, key: Key | null): Decision | null {
  const result = key === null ? undefined : account.results.get(key.digest)
  if (key === null || result === undefined) return null
  const { by, state, answer } = result
  if (result.fingerprint !== key.fingerprint) return refuse(account, "idempotency_key_reused")
  if (state === "running") return refuse(account, "request_in_progress")
  if (!key.isOnce) return { ...decided(account, { ...answer, isReplay: true }), told: by }
  const { amountFen = 0, seq = 0, atMs = 0 } = answer
  return refuse(account, "already_charged", { amountFen, seq, atMs })
}

/** Takes back what a request did, whose callers were told 503. A void is not taken back. */
export function undo(
  account: Account,
  { request, answer }: { request: Request; answer: Answer },
): { account: Account; movement: Movement | null } {
  const after = forget(account, request.key?.digest ?? null, request.op)
  if (request.verb === "hold") {
    const isOpen = account.holds.get(request.op)?.state === "open"
    return { account: isOpen ? close(after, request.op, "gone") : after, movement: null }
  }
  const amountFen = Number(answer.amountFen)
  const balanceFen = after.balanceFen + amountFen
  const back = { ...after, balanceFen, seq: after.seq + 1 }
  const cause = String(answer.seq)
  const movement = { kind: "reversal", amountFen, balanceAfterFen: balanceFen, cause } as const
  if (request.verb !== "capture") return { account: back, movement }
  return { account: reopen(back, { ...request, amountFen }), movement }
}

/** A captured hold is open again, with what its capture took; of a forwarded call nothing is kept. */
function reopen(
  account: Account,
  { op, hold, amountFen }: { op: string; hold: string; amountFen: number },
): Account {
  const found = account.holds.get(hold)
  const after = forget(account, found?.running ?? null, op)
  if (found?.state !== "captured") return after
  const holds = put<Hold>(after.holds, hold, { ...found, state: "open", amountFen })
  return { ...after, heldFen: after.heldFen + amountFen, holds }
}

/** By a client, or by the system once its time is over. */
export function expire(
  account: Account,
  op: string,
  state: "expired" | "voided" = "expired",
): Account {
  const after = close(account, op, state)
  const running = account.holds.get(op)?.running ?? null
  return running === null ? after : { ...after, results: drop(after.results, running) }
}

export function instruct(
  account: Account,
  { kind, number: instruction, amountFen, authVersion, cause }: Instruction,
): { account: Account; movement: Movement } {
  const isCredit = kind === "redemption"
  const balanceFen = account.balanceFen + amountFen
  const movement = { kind, amountFen, balanceAfterFen: balanceFen, cause }
  const after = isCredit ? { balanceFen, seq: account.seq + 1 } : { authVersion }
  return { account: { ...account, ...after, instruction }, movement }
}

/** Redis was built anew from Postgres: no hold outlives that, and of the results those of charges do. */
export function rebuild(account: Account): Account {
  const results = [...account.results].filter(([, { state }]) => state === "charged")
  const holds = [...account.holds].map(([op, one]): [string, Hold] => [
    op,
    { ...one, state: "lost" },
  ])
  return { ...account, heldFen: 0, holds: new Map(holds), results: new Map(results) }
}

function take(account: Account, amountFen: number, atMs: number): [Account, Answer] {
  const [balanceFen, seq] = [account.balanceFen - amountFen, account.seq + 1]
  const { heldFen } = account
  const answer = { status: "accepted", isReplay: false, amountFen, balanceFen, heldFen, seq, atMs }
  return [{ ...account, balanceFen, seq }, answer]
}

function movedBy({ amountFen, balanceFen }: Answer) {
  return { amountFen: Number(amountFen), balanceAfterFen: Number(balanceFen) }
}

function close(account: Account, op: string, state: Hold["state"]): Account {
  const found = account.holds.get(op)
  if (found === undefined) throw new Error(`the model has no hold ${op}`)
  const closed: Hold = { ...found, state: found.isForwarded ? "gone" : state }
  const heldFen = account.heldFen - found.amountFen
  return { ...account, heldFen, holds: put(account.holds, op, closed) }
}

function remember(account: Account, key: Key | null, made: Omit<Result, "fingerprint">): Account {
  if (key === null) return account
  const { digest, fingerprint } = key
  return { ...account, results: put(account.results, digest, { ...made, fingerprint }) }
}

function forget(account: Account, digest: string | null, op: string): Account {
  if (digest === null || account.results.get(digest)?.by !== op) return account
  return { ...account, results: drop(account.results, digest) }
}

function decided(account: Account, answer: Answer, movement: Movement | null = null): Decision {
  return { account, answer, movement, told: null }
}

function refuse(
  account: Account,
  status: string,
  more: Readonly<Record<string, Plain>> = {},
): Decision {
  return decided(account, { status, ...more })
}

function put<Value>(map: ReadonlyMap<string, Value>, name: string, value: Value) {
  return new Map(map).set(name, value)
}

function drop<Value>(map: ReadonlyMap<string, Value>, name: string) {
  const left = new Map(map)
  left.delete(name)
  return left
}
