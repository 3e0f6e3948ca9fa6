import { Socket } from "node:net"

/**
 * A connection's socket, for postgres.js (3.4.9), which loses queries where `error` and `close` are two
 * events: what it is given between them counts as sent, is never settled, and then blocks that connection
 * for good (seen on Bun, when a backend is terminated under load). Here they are one moment.
 */
class WholeSocket extends Socket {
  private failure: unknown = null

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    if (event === "error") {
      this.failure ??= values[0]
      return true
    }
    if (event === "close" && this.failure !== null) super.emit("error", this.failure)
    return super.emit(event, ...values)
  }
}

/** A socket that connects; what is written before it is connected waits. */
export function openSocket({
  host,
  port,
  path,
}: {
  host: readonly string[]
  port: readonly number[]
  path: string | false
}): Socket {
  const socket = new WholeSocket()
  return path === false ? socket.connect(port[0] ?? 0, host[0] ?? "") : socket.connect(path)
}
