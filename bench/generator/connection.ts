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

/** One connection, from the first attempt until `closed` has been told. */
export function openConnection(target: Target, handlers: ConnectionHandlers): Connection {
  const reader = createAnswerReader()
  let socket: Bun.Socket | null = null
  let unsent: Uint8Array | null = null
  let isWaiting = false
  let isClosed = false
  connect(target, { opened, took, drained: flush, closed })
  return { send, close }

  function opened(made: Bun.Socket): void {
    if (isClosed) return void made.end()
    socket = made
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
    const written = Math.max(0, socket.write(unsent))
    unsent = written < unsent.byteLength ? unsent.subarray(written) : null
  }

  function took(bytes: Buffer): void {
    if (isClosed) return
    const reading = reader.push(bytes)
    if (reading.state === "answer" && isWaiting) answered(reading.answer)
    else if (reading.state !== "more") close()
  }

  function answered(answer: HttpAnswer): void {
    isWaiting = false
    handlers.answered(answer)
    if (answer.isLast) close()
  }

  /** The end of a connection may be what ends an answer. */
  function closed(): void {
    if (isClosed) return
    const last = isWaiting ? reader.end() : null
    if (last?.state === "answer") answered(last.answer)
    close()
  }

  function close(): void {
    if (isClosed) return
    isClosed = true
    socket?.end()
    handlers.closed()
  }
}

type SocketHandlers = {
  opened(socket: Bun.Socket): void
  took(bytes: Buffer): void
  drained(): void
  closed(): void
}

/**
 * A plain socket, because a generator must be cheap and must see when bytes come: `fetch` costs four
 * times as much, and chooses its connections by itself.
 */
function connect({ host, port, isTls }: Target, handlers: SocketHandlers): void {
  const { opened, took, drained, closed } = handlers
  const attempt = Bun.connect({
    hostname: host,
    port,
    tls: isTls ? { serverName: host } : false,
    socket: {
      // With TLS it is ready when the handshake is over, and the certificate is trusted.
      open: (socket) => (isTls ? undefined : opened(socket)),
      handshake: (socket, isTrusted) => (isTrusted ? opened(socket) : closed()),
      // The socket's buffer may be used again for what comes next.
      data: (_, bytes) => took(Buffer.from(bytes)),
      drain: drained,
      end: closed,
      close: closed,
      error: closed,
      connectError: closed,
    },
  })
  attempt.catch(closed)
}
