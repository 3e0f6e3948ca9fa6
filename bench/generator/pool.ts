import type { HttpAnswer } from "./answer-reader.ts"
import { type Connection, openConnection, type Target } from "./connection.ts"

/** A call under way, by the place of its request in the plan. */
export type Call = { place: number; dueAt: number }

export type PoolHandlers = {
  /** A connection has become free. */
  freed(): void
  answered(call: Call, answer: HttpAnswer): void
  /** Its connection broke, or its answer took too long: it may have run. */
  lost(call: Call): void
}

/** A number of connections to one server; those that break are made anew. */
export type Pool = {
  /** Resolves when all are open for the first time; rejects where that takes too long. */
  ready: Promise<void>
  /** The number of the connection that was free for the longest time, or null: all are busy. */
  takeFree(): number | null
  send(connection: number, request: Uint8Array, call: Call): void
  underWay(): number
  /** Connections that broke with a call under way, and attempts to connect that failed. */
  broken(): number
  /** Gives up the calls that were sent before `time`. */
  giveUp(time: number): void
  close(): void
}

type Slot = { connection: Connection; call: Call | null; sentAt: number; isOpen: boolean }

const RECONNECT_MS = 100
const CONNECT_TIMEOUT_MS = 5_000
const NO_CONNECTION: Connection = { send: () => undefined, close: () => undefined }

export function createPool(
  { target, connections }: { target: Target; connections: number },
  handlers: PoolHandlers,
): Pool {
  const ready = Promise.withResolvers<void>()
  const slots = Array.from(
    { length: connections },
    (): Slot => ({ connection: NO_CONNECTION, call: null, sentAt: 0, isOpen: false }),
  )
  const free: number[] = []
  const counts = { underWay: 0, broken: 0 }
  let isClosed = false
  const timer = setTimeout(() => ready.reject(unreachable(target)), CONNECT_TIMEOUT_MS)
  for (const [number, slot] of slots.entries()) connect(number, slot)

  return {
    ready: ready.promise.finally(() => clearTimeout(timer)),
    takeFree: () => free.shift() ?? null,
    send,
    underWay: () => counts.underWay,
    broken: () => counts.broken,
    giveUp,
    close,
  }

  function connect(number: number, slot: Slot): void {
    slot.connection = openConnection(target, {
      opened: () => {
        slot.isOpen = true
        release(number)
        if (free.length === connections) ready.resolve()
      },
      answered: (answer) => answered(number, slot, answer),
      closed: () => closed(number, slot),
    })
  }

  function send(number: number, request: Uint8Array, call: Call): void {
    const slot = slots[number]
    if (slot === undefined) throw new RangeError(`there is no connection ${number}`)
    slot.call = call
    slot.sentAt = performance.now()
    counts.underWay++
    slot.connection.send(request)
  }

  function answered(number: number, slot: Slot, answer: HttpAnswer): void {
    const { call } = slot
    if (call === null) return
    slot.call = null
    counts.underWay--
    handlers.answered(call, answer)
    if (!answer.isLast) release(number)
  }

  function release(number: number): void {
    free.push(number)
    handlers.freed()
  }

  function closed(number: number, slot: Slot): void {
    const { call, isOpen } = slot
    const at = free.indexOf(number)
    if (at >= 0) free.splice(at, 1)
    Object.assign(slot, { call: null, isOpen: false })
    if (call !== null) {
      counts.underWay--
      handlers.lost(call)
    }
    if (isClosed) return
    if (call !== null || !isOpen) counts.broken++
    setTimeout(() => isClosed || connect(number, slot), RECONNECT_MS)
  }

  function giveUp(time: number): void {
    for (const { call, sentAt, connection } of slots) {
      if (call !== null && sentAt < time) connection.close()
    }
  }

  function close(): void {
    isClosed = true
    for (const { connection } of slots) connection.close()
  }
}

function unreachable({ host, port }: Target): Error {
  return new Error(`not all connections to ${host}:${port} could be made`)
}
