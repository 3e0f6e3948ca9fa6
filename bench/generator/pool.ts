import type { HttpAnswer } from "./answer-reader.ts"
import type { Target } from "./connection.ts"
import { type Call, createSlot } from "./slot.ts"

export type PoolHandlers = {
  /** A connection has become free. */
  freed(): void
  answered(call: Call, answer: HttpAnswer): void
  /** Its connection broke, or its answer took too long: it may have run. */
  lost(call: Call): void
}

/** A number of connections, spread over the servers in turn; those that break are made anew. */
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

export function createPool(
  {
    targets,
    connections,
    timeoutMs,
  }: { targets: readonly Target[]; connections: number; timeoutMs: number },
  handlers: PoolHandlers,
): Pool {
  const ready = Promise.withResolvers<void>()
  const timer = setTimeout(() => ready.reject(unreachable(targets)), timeoutMs)
  const free: number[] = []
  const counts = { underWay: 0, broken: 0 }
  const slots = Array.from({ length: connections }, (_, number) => makeSlot(number))
  return {
    ready: ready.promise.finally(() => clearTimeout(timer)),
    takeFree: () => free.shift() ?? null,
    send(connection, request, call) {
      counts.underWay++
      slots[connection]?.send(request, call)
    },
    underWay: () => counts.underWay,
    broken: () => counts.broken,
    giveUp: (time) => slots.forEach((slot) => slot.giveUp(time)),
    close: () => slots.forEach((slot) => slot.close()),
  }

  function makeSlot(number: number) {
    const target = targets[number % targets.length]
    if (target === undefined) throw new RangeError("there is no server to connect to")
    return createSlot(target, {
      freed() {
        free.push(number)
        if (free.length === connections) ready.resolve()
        handlers.freed()
      },
      gone() {
        const at = free.indexOf(number)
        if (at >= 0) free.splice(at, 1)
      },
      answered(call, answer) {
        counts.underWay--
        handlers.answered(call, answer)
      },
      lost(call) {
        counts.underWay--
        handlers.lost(call)
      },
      broke: () => void counts.broken++,
    })
  }
}

function unreachable(targets: readonly Target[]): Error {
  const names = targets.map(({ host, port }) => `${host}:${port}`)
  return new Error(`Not all connections to ${names.join(", ")} could be made.`)
}
