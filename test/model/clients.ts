import { type AccountId, parseHoldId, randomChars } from "../../src/ids.ts"
import type { Outcome } from "./linearise.ts"
import type { Account, Answer, Key, Request } from "./model.ts"
import type { Operation } from "./operations.ts"

/** An account of a scenario: where the model has it, and what is committed for it. */
export type Owner = { id: AccountId; account: Account; instruction: number; authVersion: number }

/** A request as the model knows it, and the names that a gateway knows. */
export type Asking = {
  gateway: number
  owner: number
  request: Request
  accountId: AccountId
  holdId: string
}

type KnownHold = { op: string; owner: number; holdId: string; isForwarded: boolean }
type Asked = Exclude<Operation, { verb: "credit" | "revoke" }>

/** A client acts on what it was told of late. */
const REMEMBERED = 60

/**
 * The clients: what they ask for, what they remember of the answers, and the names of holds. The model
 * calls a hold by the operation that made it, and a key by its digest.
 */
export function createClients(owners: readonly Owner[]) {
  const prefix = randomChars(6)
  const keyed: Asking[] = []
  const holds: KnownHold[] = []
  /** The operation that made a hold, by its name in Redis; and the other way round. */
  const opOfName = new Map<string, string>()
  const nameOfOp = new Map<string, string>()
  let count = 0
  return { ask, learn, bind, read, opOfName, nameOfOp }

  /** None where there is nothing yet of what it names. */
  function ask(operation: Asked): Asking[] {
    const asked = askings(operation)
    for (const asking of asked) if (asking.request.key !== null) remember(keyed, asking)
    return asked
  }

  function askings(operation: Asked): Asking[] {
    switch (operation.verb) {
      case "charge":
      case "hold":
        return [spend(operation, operation.verb)]
      case "batch": {
        const places = Array.from({ length: operation.count }, (_, i) => `b${i}`)
        return places.map((place) => spend(operation, place))
      }
      case "retry": {
        const before = keyed[operation.of % keyed.length]
        return before === undefined ? [] : [again(before, operation)]
      }
      case "capture":
      case "void": {
        const hold = holds[operation.hold % holds.length]
        return hold === undefined ? [] : [resolve(operation, hold)]
      }
    }
  }

  function spend(operation: Asked & { verb: "charge" | "batch" | "hold" }, place: string): Asking {
    const { gateway, account: owner, amountFen, isStale, key: number } = operation
    const authVersion = (owners[owner]?.authVersion ?? 0) + (isStale ? 1 : 0)
    const isForwarded = operation.verb === "hold" && operation.isForwarded
    const ttlMs = operation.verb === "hold" ? operation.ttlMs : 0
    const path = isForwarded ? "f" : place.slice(0, 3)
    const asked = keyOf(`${path}_${owner}`, { number, amountFen: amountFen + ttlMs })
    const key = asked && { ...asked, isOnce: isForwarded }
    const spending = { op: newOp(), amountFen, authVersion, key }
    const request: Request =
      operation.verb === "hold"
        ? { verb: "hold", ...spending, ttlMs, isForwarded }
        : { verb: "charge", ...spending }
    return { gateway, owner, request, accountId: accountOf(owner), holdId: "" }
  }

  function resolve(
    operation: Asked & { verb: "capture" | "void" },
    { op: hold, owner, holdId, isForwarded }: KnownHold,
  ): Asking {
    const { gateway, verb, key: number } = operation
    const amountFen = operation.verb === "capture" ? operation.amountFen : null
    const place = `${verb.slice(0, 1)}${hold.slice(-4)}`
    const key = isForwarded ? null : keyOf(place, { number, amountFen: amountFen ?? 0 })
    const named = { op: newOp(), hold, key }
    const request: Request =
      verb === "void" ? { verb, ...named } : { verb: "capture", ...named, amountFen }
    return { gateway, owner, request, accountId: accountOf(owner), holdId }
  }

  function again(
    before: Asking,
    { gateway, isOther }: { gateway: number; isOther: boolean },
  ): Asking {
    const { request } = before
    const key = request.key && { ...request.key }
    if (key !== null && isOther) key.fingerprint = "others"
    return { ...before, gateway, request: { ...request, op: newOp(), key } }
  }

  /** The digest is 16 characters without dots, of which six are this scenario's own. */
  function keyOf(
    place: string,
    { number, amountFen }: { number: number | null; amountFen: number },
  ): Key | null {
    if (number === null) return null
    const fingerprint = `${amountFen % 1_000_000}`.padStart(6, "-")
    return { digest: `${prefix}${place}_${number}`.padEnd(16, "-"), fingerprint, isOnce: false }
  }

  /** What was answered at once: a new hold has a name. */
  function learn({ owner, request }: Asking, answer: Answer | undefined): void {
    if (request.verb !== "hold" || answer?.status !== "held" || answer.isReplay !== false) return
    const { op, isForwarded } = request
    const holdId = String(answer.holdId)
    bind(nameIn(holdId), op)
    remember(holds, { op, owner, holdId, isForwarded })
  }

  function bind(name: string, op: string): void {
    opOfName.set(name, op)
    nameOfOp.set(op, name)
  }

  /** As the model would say it; a hold that nobody knows is called by its name. */
  function read(answer: Answer | undefined): Outcome {
    if (answer === undefined) return "lost"
    if (answer.status === "unavailable") return "unavailable"
    const { holdId = null, details = null } = answer
    const name = holdId === null ? "" : nameIn(String(holdId))
    const hold = holdId === null ? {} : { hold: opOfName.get(name) ?? name }
    return { ...answer, ...hold, ...(details === null ? {} : { details: opIn(String(details)) }) }
  }

  function accountOf(owner: number): AccountId {
    const found = owners[owner]
    if (found === undefined) throw new Error(`there is no account ${owner}`)
    return found.id
  }

  function newOp(): string {
    return `op_${prefix}_${String(count++).padStart(4, "0")}`
  }
}

/** The operation that wrote these details of a charge or a hold. */
export function opIn(details: string): string {
  return details.split("\x1f")[3] ?? ""
}

export function nameIn(holdId: string): string {
  return parseHoldId(holdId)?.name ?? holdId
}

function remember<Value>(values: Value[], value: Value): void {
  values.push(value)
  if (values.length > REMEMBERED) values.shift()
}
