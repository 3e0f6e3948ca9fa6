import { Socket } from "node:net"

/**
 * A connection's socket, for postgres.js (3.4.9), which loses queries where `error` and `close` are two
 * events: what it is given between them counts as sent, is never settled, and then blocks that connection
 * for good (seen on Bun, when a backend is terminated under load). Here they are one moment.
 *
 * It also keeps what a server says last ("terminating connection", "the database system is starting up")
 * for the first query of the next connection, which then fails, however much later that is (its issue
 * 1223). So these words do not reach it as an answer: they are the error with which the connection ends.
 */
class WholeSocket extends Socket {
  private failure: unknown = null

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    const [value] = values
    if (event === "error") {
      this.failure ??= value
      return true
    }
    if (event === "data" && Buffer.isBuffer(value)) {
      const last = startOfFatal(value)
      if (last !== null) {
        this.failure ??= readFatal(value.subarray(last + HEAD_BYTES))
        this.destroy()
        return last === 0 || super.emit(event, value.subarray(0, last))
      }
    }
    if (event === "close" && this.failure !== null) super.emit("error", this.failure)
    return super.emit(event, ...values)
  }
}

// ErrorResponse: 'E', the length without that letter, fields of a letter and a text that ends with NUL.
const ERROR_RESPONSE = 0x45
const HEAD_BYTES = 5
/** The field `V` (severity, not translated). No value of a row can hold its NUL. */
const FATAL = Buffer.from("VFATAL\0")

/** Where the message begins with which a server ends a connection; null: these bytes do not end with one. */
function startOfFatal(bytes: Buffer): number | null {
  const severity = bytes.lastIndexOf(FATAL)
  for (let at = severity - HEAD_BYTES; at >= 0; at--) {
    const isHead =
      bytes[at] === ERROR_RESPONSE && bytes.readInt32BE(at + 1) === bytes.length - at - 1
    if (isHead) return at
  }
  return null
}

function readFatal(body: Buffer): Error {
  const fields = new Map(
    body
      .toString()
      .split("\0")
      .map((field) => [field[0], field.slice(1)]),
  )
  return Object.assign(new Error(fields.get("M")), { code: fields.get("C") })
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
