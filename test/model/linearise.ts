import {
  type Account,
  type Answer,
  decide,
  expire,
  type Hold,
  type Instruction,
  instruct,
  type Movement,
  type Request,
  type Result,
  undo,
} from "./model.ts"

/**
 * Looks for an order of what was asked of one account, of both gateways at once, in which the model gives
 * every answer that was given, makes every record that was made, and ends where Redis stands.
 *
 * What one gateway was asked keeps its order. What was answered 503 was never decided, or was decided and
 * later taken back with the rest of its batch, unless a repeat of it was answered meanwhile. Of what a
 * gateway was asked that was killed nothing is known: it was not decided, or stands, or was taken back. A
 * hold whose time is over may end at any moment.
 */

/** `unavailable`: answered 503. `lost`: its gateway was killed before the answer. */
export type Outcome = Answer | "unavailable" | "lost"
export type Asked = { request: Request; outcome: Outcome }

/** A record, as the stream has it; `instruction` where one made it. */
export type Recorded = Movement & { atMs: number; instruction: Instruction | null }

const FIGURES = ["balanceFen", "heldFen", "seq", "instruction", "authVersion"] as const
/** Where Redis stands once everything is settled. */
export type Look = Pick<
  Account,
  "balanceFen" | "heldFen" | "seq" | "instruction" | "authVersion"
> & {
  /** By the operation that made them; those whose names are known. */
  holds: ReadonlyMap<string, Seen>
  results: ReadonlyMap<string, Stored>
}
export type Seen = Pick<Hold, "state" | "amountFen"> & { name: string; expiresAtMs: number | null }
export type Stored = Pick<Result, "state" | "fingerprint"> & {
  hold: string | null
  seq: number
  balanceFen: number
  heldFen: number
  /** When it was charged, or when the hold expires. */
  atMs: number
}

export type History = {
  lanes: readonly (readonly Asked[])[]
  records: readonly Recorded[]
  look: Look
  /** Of Redis's clock: before the first was sent, and after the look. */
  fromMs: number
  toMs: number
}

/** What a batch did, or told again, whose callers got no answer. */
type Pending = { request: Request; answer: Answer; lane: number; isLost: boolean }
type Node = {
  account: Account
  /** How far each lane is, and what of it may still be taken back. */
  at: readonly number[]
  pending: readonly (readonly Pending[])[]
  /** Lanes whose batch is complete: until it is settled, its gateway sends no other. */
  sealed: readonly boolean[]
  /** Records made so far. */
  made: number
}

export type Order =
  | { status: "found"; end: Account }
  /** `at`: what of each lane the furthest order explains, and where it ends. */
  | { status: "none"; at: readonly number[]; made: number; account: Account }

const NODES_MAX = 1_000_000

export function linearise(start: Account, history: History): Order {
  const { lanes } = history
  const first: Node = {
    ...{ account: start, at: lanes.map(() => 0), made: 0 },
    ...{ pending: lanes.map(() => []), sealed: lanes.map(() => false) },
  }
  const seen = new Set<number | bigint>()
  const stack: Node[] = [first]
  let furthest: Node = first
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (isEnd(node, history)) return { status: "found", end: node.account }
    if (progressOf(node) > progressOf(furthest)) furthest = node
    const next = nextOf(node, history)
    // Where there was no choice, no other way leads here.
    if (next.length + stack.length > 1) {
      const key = Bun.hash(keyOf(node, start))
      if (seen.has(key)) continue
      seen.add(key)
    }
    if (seen.size > NODES_MAX) throw new Error(`no order was found among ${NODES_MAX}`)
    // The likeliest is tried first.
    stack.push(...next.reverse())
  }
  const { at, made, account } = furthest
  return { status: "none", at, made, account }
}

function nextOf(node: Node, history: History): Node[] {
  const next: Node[] = []
  const lanes = [...history.lanes.keys()]
  // What was answered leaves no choice, and comes first.
  for (const isAnswered of [true, false]) {
    const its = lanes.filter((lane) => isAnswered === hasAnswer(node, lane, history))
    for (const lane of its) next.push(...take(node, lane, history))
  }
  for (const lane of lanes) next.push(...settle(node, lane, history))
  const order = history.records[node.made]?.instruction
  if (order?.number === node.account.instruction + 1) {
    const { account, movement } = instruct(node.account, order)
    if (isRecorded(node, [movement], history)) next.push({ ...node, account, made: node.made + 1 })
  }
  for (const op of due(node, history)) next.push({ ...node, account: expire(node.account, op) })
  return next
}

function hasAnswer({ at }: Node, lane: number, { lanes }: History): boolean {
  const asked = lanes[lane]?.[at[lane] ?? 0]
  return asked !== undefined && typeof asked.outcome !== "string"
}

/** What may come of the next that a lane was asked. */
function take(node: Node, lane: number, history: History): Node[] {
  const asked = history.lanes[lane]?.[node.at[lane] ?? 0]
  if (asked === undefined) return []
  const { request, outcome } = asked
  return typeof outcome === "string"
    ? takeUnknown(node, { lane, request, isLost: outcome === "lost" }, history)
    : takeAnswered(node, { lane, request, outcome }, history)
}

function takeAnswered(
  node: Node,
  { lane, request, outcome }: { lane: number; request: Request; outcome: Answer },
  history: History,
): Node[] {
  // Its gateway sends nothing before it knows what became of the batch before; that a hold did not outlive
  // its generation it knows by itself.
  const isSent = outcome.status !== "hold_lost"
  if (isSent && (node.pending[lane]?.length ?? 0) > 0) return []
  for (const nowMs of momentsOf(node, { request, outcome }, history)) {
    const { account, answer, movement, told } = decide(node.account, request, nowMs)
    if (!isSame(answer, outcome) || !isRecorded(node, [movement], history)) continue
    return [advance(node, lane, { account, movement, pending: without(node.pending, told) })]
  }
  return []
}

function takeUnknown(
  node: Node,
  { lane, request, isLost }: { lane: number; request: Request; isLost: boolean },
  history: History,
): Node[] {
  const trace = traceOf(request, node.made, history)
  const isOfBatch = node.pending[lane]?.at(-1)?.isLost === isLost
  const unsent = advance(node, lane, {})
  if (isOfBatch && node.sealed[lane] === true) return trace === "certain" ? [] : [unsent]
  const nowMs = whenOf(request, node.made, history)
  const { account, answer, movement, told } = decide(node.account, request, nowMs)
  const before = node.pending.flat().find((one) => one.request.op === told)
  const hasEffect = account !== node.account || before !== undefined
  const isUnsure = request.verb === "capture" && isEnding(node, request.hold, history)
  // A batch runs whole: it was complete before what would have done something and did not.
  const sealed = node.sealed.map((is, i) => is || (i === lane && isOfBatch))
  const undecided = hasEffect && !isUnsure ? { ...unsent, sealed } : unsent
  if (before !== undefined) {
    const pending = append(node.pending, lane, { ...before, isLost })
    return [advance(node, lane, { pending }), undecided]
  }
  if (account === node.account || !isRecorded(node, [movement], history)) {
    return trace === "certain" ? [] : [undecided]
  }
  const made = { request, answer, lane, isLost }
  const pending = request.verb === "void" ? node.pending : append(node.pending, lane, made)
  const decided = advance(node, lane, { account, movement, pending })
  if (trace === "certain") return [decided]
  return trace === "likely" ? [decided, undecided] : [undecided, decided]
}

/** Whether a hold's time may be over by then. */
function isEnding({ account }: Node, hold: string, { fromMs, toMs }: History): boolean {
  const endsAtMs = account.holds.get(hold)?.expiresAtMs ?? 0
  return endsAtMs > fromMs && endsAtMs <= toMs
}

/** When it was decided, as far as its record says that, or the hold that it made. */
function whenOf(request: Request, made: number, { records, look, fromMs }: History): number {
  if (request.verb === "hold") {
    const { expiresAtMs = null } = look.holds.get(request.op) ?? {}
    return expiresAtMs === null ? fromMs : expiresAtMs - request.ttlMs
  }
  const record = records[made]
  return record?.cause === causeOf(request) ? record.atMs : fromMs
}

/** Whether what was not answered has left something that shows that it was decided. */
function traceOf(
  request: Request,
  made: number,
  { records, look }: History,
): "certain" | "likely" | "none" {
  switch (request.verb) {
    case "charge":
      return records.some(({ cause }, i) => i >= made && cause === request.op) ? "certain" : "none"
    case "hold": {
      const { state = "gone" } = look.holds.get(request.op) ?? {}
      return state === "gone" ? "none" : "certain"
    }
    case "capture":
      return "likely"
    case "void":
      return look.holds.get(request.hold)?.state === "voided" ? "likely" : "none"
  }
}

/** What was decided and not answered is taken back, all of it; or stands, if its gateway was killed. */
function settle(node: Node, lane: number, history: History): Node[] {
  const [oldest] = node.pending[lane] ?? []
  if (oldest === undefined) return []
  const pending = node.pending.map((each, i) => (i === lane ? [] : each))
  const sealed = node.sealed.map((is, i) => is && i !== lane)
  let { account } = node
  const movements: Movement[] = []
  for (const one of node.pending[lane] ?? []) {
    if (!isOver(one, lane, pending)) continue
    const undone = undo(account, one)
    account = undone.account
    if (undone.movement !== null) movements.push(undone.movement)
  }
  const next: Node[] = []
  if (isRecorded(node, movements, history)) {
    next.push({ ...node, account, pending, sealed, made: node.made + movements.length })
  }
  const { op } = oldest.request
  if (oldest.isLost) next.push({ ...node, pending: without(node.pending, op) })
  return next
}

/** Nobody else repeats it. A hold ends with the batch that made it, or with its time. */
function isOver({ request, lane: maker }: Pending, lane: number, left: Node["pending"]): boolean {
  const isAlone = left.flat().every((other) => other.request.op !== request.op)
  return isAlone && (request.verb !== "hold" || maker === lane)
}

/** Somebody was told of it: it stands. */
function without(pending: Node["pending"], op: string | null): Node["pending"] {
  return pending.map((lane) => lane.filter(({ request }) => request.op !== op))
}

function append(pending: Node["pending"], lane: number, one: Pending): Node["pending"] {
  return pending.map((each, i) => {
    const isNew = i === lane && each.every(({ request }) => request.op !== one.request.op)
    return isNew ? [...each, one] : each
  })
}

/**
 * The hold that the sweep voids next, if it may: it goes by their times, and by their names where these are
 * the same. Where a hold has no name that was ever learned, it may be any.
 */
function due({ account }: Node, { look, toMs }: History): string[] {
  const named: { op: string; expiresAtMs: number; name: string }[] = []
  const nameless: string[] = []
  for (const [op, { state, expiresAtMs }] of account.holds) {
    if (state !== "open" || expiresAtMs > toMs) continue
    const found = look.holds.get(op)
    if (found === undefined) nameless.push(op)
    else if (found.state !== "open") named.push({ op, expiresAtMs, name: found.name })
  }
  named.sort((a, b) => a.expiresAtMs - b.expiresAtMs || (a.name < b.name ? -1 : 1))
  return [...named.slice(0, 1).map(({ op }) => op), ...nameless]
}

/** When it may have been decided, as far as that makes a difference. */
function momentsOf(
  node: Node,
  { request, outcome }: { request: Request; outcome: Answer },
  history: History,
): number[] {
  const { fromMs, toMs } = history
  if (outcome.isReplay === false && request.verb !== "void") {
    const isHold = request.verb === "hold"
    const atMs = isHold ? Number(outcome.expiresAtMs) - request.ttlMs : Number(outcome.atMs)
    return atMs >= fromMs && atMs <= toMs ? [atMs] : []
  }
  if (request.verb !== "capture") return [fromMs]
  return isEnding(node, request.hold, history) ? [fromMs, toMs] : [fromMs]
}

/** These are the records that come next. */
function isRecorded(node: Node, made: readonly (Movement | null)[], { records }: History): boolean {
  const movements = made.filter((movement) => movement !== null)
  return movements.every(({ kind, cause, amountFen, balanceAfterFen }, i) => {
    const record = records[node.made + i]
    const isOf = record?.kind === kind && record.cause === cause
    return isOf && record.amountFen === amountFen && record.balanceAfterFen === balanceAfterFen
  })
}

/** All that the model says of it; the answer may say more. */
function isSame(answer: Answer, outcome: Answer): boolean {
  return Object.entries(answer).every(([name, value]) => outcome[name] === value)
}

function advance(
  node: Node,
  lane: number,
  { movement, ...change }: Partial<Node> & { movement?: Movement | null },
): Node {
  const at = node.at.map((place, i) => (i === lane ? place + 1 : place))
  return { ...node, at, made: node.made + (movement ? 1 : 0), ...change }
}

function isEnd(node: Node, { lanes, records, look }: History): boolean {
  if (node.made !== records.length) return false
  if (lanes.some((lane, i) => node.at[i] !== lane.length)) return false
  return node.pending.flat().length === 0 && differencesOf(node.account, look).next().done === true
}

/** Each thing in which Redis is not where the model is, in a sentence. */
export function* differencesOf(account: Account, look: Look): Generator<string> {
  for (const name of FIGURES) {
    if (account[name] === look[name]) continue
    yield `${name} is ${account[name]} in the model, and ${look[name]} in Redis`
  }
  for (const [op, { state, amountFen }] of account.holds) {
    if (state === "lost") continue
    const found = look.holds.get(op)
    // One whose name nobody ever learned: it may not be open, or it would have been found.
    const isIt = found === undefined ? state !== "open" : found.state === state
    const isAsLarge = state !== "open" || found?.amountFen === amountFen
    if (isIt && isAsLarge) continue
    yield `hold ${op} of ${amountFen} is ${state} in the model, and ${JSON.stringify(found)} in Redis`
  }
  for (const digest of new Set([...account.results.keys(), ...look.results.keys()])) {
    const [result, stored] = [account.results.get(digest), look.results.get(digest)]
    if (result !== undefined && stored !== undefined && isStored(result, stored)) continue
    yield `result ${digest} is ${JSON.stringify(result)} in the model, and ${JSON.stringify(stored)} in Redis`
  }
}

function isStored({ state, fingerprint, answer }: Result, stored: Stored): boolean {
  if (state !== stored.state || fingerprint !== stored.fingerprint) return false
  if (state === "held" && answer.hold !== stored.hold) return false
  const isOne = answer.seq === stored.seq && answer.atMs === stored.atMs
  if (state === "charged" && !isOne) return false
  return answer.balanceFen === stored.balanceFen && answer.heldFen === stored.heldFen
}

/** What tells a node from others that got as far: what of holds and results is not as in the beginning. */
function keyOf({ account, at, pending, sealed, made }: Node, start: Account): string {
  const parts: (string | number)[] = [...at, made, account.heldFen, account.instruction]
  parts.push(sealed.map(Number).join(""))
  for (const lane of pending) {
    parts.push("|")
    for (const { request, lane: maker, isLost } of lane) parts.push(request.op, maker, `${isLost}`)
  }
  for (const [op, hold] of account.holds) {
    if (start.holds.get(op) !== hold) parts.push(op, hold.state, hold.amountFen)
  }
  for (const [digest, result] of account.results) {
    if (start.results.get(digest) === result) continue
    const { by, answer } = result
    parts.push(digest, by, String(answer.balanceFen), String(answer.heldFen))
  }
  for (const digest of start.results.keys()) {
    if (!account.results.has(digest)) parts.push(digest)
  }
  return parts.join(" ")
}

function causeOf(request: Request): string {
  return request.verb === "capture" ? request.hold : request.op
}

function progressOf({ at, made }: Node): number {
  return at.reduce((sum, place) => sum + place, made)
}
