import type { HttpAnswer } from "./answer-reader.ts"
import { type Connection, openConnection, type Target } from "./connection.ts"

/** A call under way, by the place of its request in the plan. */
export type Call = { place: number; dueAt: number }

export type SlotHandlers = {
  /** It can take a call. */
  freed(): void
  /** It can take none any more, until it is freed again. */
  gone(): void
  answered(call: Call, answer: HttpAnswer): void
  /** Its connection broke, or its answer took too long: it may have run. */
  lost(call: Call): void
  /** A connection broke with a call under way, or could not be made. */
  broke(): void
}

/** A place for one connection, which is made anew when it is gone, and for one call at a time. */
export type Slot = {
  send(request: Uint8Array, call: Call): void
  /** Gives up its call if that was sent before `time`. */
  giveUp(time: number): void
  close(): void
}

const RECONNECT_MS = 100

export function createSlot(target: Target, handlers: SlotHandlers): Slot {
  let call: Call | null = null
  let sentAt = 0
  let isOpen = false
  let isClosed = false
  let connection = connect()
  return {
    send(request, next) {
      call = next
      sentAt = performance.now()
      connection.send(request)
    },
    giveUp: (time) => (call !== null && sentAt < time ? connection.close() : undefined),
    close() {
      isClosed = true
      connection.close()
    },
  }

  function connect(): Connection {
    isOpen = false
    return openConnection(target, { opened, answered, closed })
  }

  function opened(): void {
    isOpen = true
    handlers.freed()
  }

  function answered(answer: HttpAnswer): void {
    if (call === null) return
    const done = call
    call = null
    handlers.answered(done, answer)
    if (!answer.isLast) handlers.freed()
  }

  function closed(): void {
    const unanswered = call
    call = null
    handlers.gone()
    if (unanswered !== null) handlers.lost(unanswered)
    if (isClosed) return
    if (unanswered !== null || !isOpen) handlers.broke()
    setTimeout(() => {
      if (!isClosed) connection = connect()
    }, RECONNECT_MS)
  }
}
