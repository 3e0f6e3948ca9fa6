import { createAnswerReader, type HttpAnswer } from "./answer-reader.ts"

/** Where a server listens. */
export type Target = { host: string; port: number; isTls: boolean }

/** A connection that carries one call at a time. */
export type Connection = {
  /** Sends a whole request; its answer, or the loss of it, is told to the handlers. */
  send(request: Uint8Array): void
  close(): void
}

export type ConnectionHandlers = {
  opened(): void
  answered(answer: HttpAnswer): void
  /** It is gone, or was never there. A call that was under way has no answer, and may have run. */
  closed(): void
}

/**
 * Plain sockets, because a generator must be cheap and must see when bytes come: `fetch` costs four
 * times as much, and chooses its connections by itself.
 */
export function openConnection(target: Target, handlers: ConnectionHandlers): Connection {
  const reader = createAnswerReader()
  let socket: Bun.Socket | null = null
  let unsent: Uint8Array | null = null
  let isWaiting = false
  let isClosed = false

  Bun.connect({
    hostname: target.host,
    port: target.port,
    tls: target.isTls ? { serverName: target.host } : false,
    socket: {
      // Of a TLS connection the handshake tells that it is ready; its certificate is checked.
      open: (opened) => (target.isTls ? undefined : begin(opened)),
      handshake: (opened, isTrusted) => (isTrusted ? begin(opened) : closed()),
      data: (_, bytes) => take(bytes),
      drain: flush,
      end: closed,
      close: closed,
      error: closed,
      connectError: closed,
    },
  }).catch(closed)

  return { send, close }

  function begin(opened: Bun.Socket): void {
    if (isClosed) {
      opened.end()
      return
    }
    socket = opened
    socket.setNoDelay(true)
    handlers.opened()
  }

  function send(request: Uint8Array): void {
    isWaiting = true
    unsent = request
    flush()
  }

  /** A large request may not fit into the socket's buffer at once. */
  function flush(): void {
    if (unsent === null || socket === null || isClosed) return
    const written = socket.write(unsent)
    unsent = written < unsent.byteLength ? unsent.subarray(Math.max(0, written)) : null
  }

  function take(bytes: Buffer): void {
    if (isClosed) return
    // The socket's buffer is used again for what comes next.
    const reading = reader.push(Buffer.from(bytes))
    if (reading.state === "more") return
    if (reading.state === "broken" || !isWaiting) return close()
    answer(reading.answer)
  }

  function answer(complete: HttpAnswer): void {
    isWaiting = false
    handlers.answered(complete)
    if (complete.isLast) close()
  }

  function closed(): void {
    if (isClosed) return
    const last = isWaiting ? reader.end() : null
    if (last?.state === "answer") answer(last.answer)
    close()
  }

  function close(): void {
    if (isClosed) return
    isClosed = true
    socket?.end()
    handlers.closed()
  }
}
