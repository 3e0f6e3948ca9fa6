import { createServer, type Socket } from "node:net"

/**
 * An API that is being sold, on a port of its own: it says byte by byte what a test has written for
 * a path, and remembers byte by byte what it was sent.
 */
export type Upstream = {
  url: string
  /** What was asked, oldest first. */
  calls: UpstreamCall[]
  /** What is answered under a path; everything else is answered 200 with `ok`. */
  on(path: string, answer: (call: UpstreamCall) => void | Promise<void>): void
  stop(): Promise<void>
}

export type UpstreamCall = {
  method: string
  path: string
  /** With its question mark. */
  query: string
  /** By name in lower case; repeated ones with a comma and a space between them. */
  headers: Record<string, string>
  /** As they stood on the wire. */
  head: string
  /** The body, once it is there; of a long one the first 64 KiB. */
  body: Promise<Buffer>
  bytes(): number
  /** CRC-32 of what has come of it. */
  checksum(): number
  socket: Socket
  closed: Promise<void>
  reply(answer?: Reply): void
  /** These bytes, whatever they are. */
  write(text: string): void
}

export type Reply = { status?: number; headers?: readonly string[]; body?: string | Uint8Array }

const KEPT_BYTES_MAX = 65_536

export async function startUpstream(): Promise<Upstream> {
  const calls: UpstreamCall[] = []
  const answers = new Map<string, (call: UpstreamCall) => void | Promise<void>>()
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    const closed = new Promise<void>((resolve) => {
      socket.on("close", () => {
        sockets.delete(socket)
        resolve()
      })
    })
    socket.on("error", () => undefined)
    const read = createReader((head) => {
      const call = createCall(head, socket, closed)
      calls.push(call)
      void (answers.get(call.path) ?? ((each) => each.reply()))(call)
      return call
    })
    socket.on("data", (bytes) => read(Buffer.from(bytes)))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    on: (path, answer) => void answers.set(path, answer),
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

type Taking = UpstreamCall & { take(bytes: Buffer): void; end(): void }

function createCall(head: string, socket: Socket, closed: Promise<void>): Taking {
  const [line = "", ...lines] = head.split("\r\n")
  const [method = "", target = ""] = line.split(" ")
  const mark = target.indexOf("?")
  const headers: Record<string, string> = {}
  for (const each of lines) {
    const at = each.indexOf(":")
    const name = each.slice(0, at).toLowerCase()
    const value = each.slice(at + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  const kept: Buffer[] = []
  let [bytes, checksum] = [0, 0]
  const whole = Promise.withResolvers<Buffer>()
  return {
    method,
    path: mark === -1 ? target : target.slice(0, mark),
    query: mark === -1 ? "" : target.slice(mark),
    ...{ headers, head, socket, closed },
    body: whole.promise,
    bytes: () => bytes,
    checksum: () => checksum,
    reply: (answer) => void socket.write(bytesOf(answer ?? {})),
    write: (text) => void socket.write(text, "latin1"),
    take(part) {
      if (bytes < KEPT_BYTES_MAX) kept.push(part)
      bytes += part.length
      checksum = Bun.hash.crc32(part, checksum)
    },
    end: () => whole.resolve(Buffer.concat(kept)),
  }
}

function bytesOf({ status = 200, headers = [], body = "ok" }: Reply): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body) : Buffer.from(body)
  const isEmpty = status === 204 || status === 304
  const length = isEmpty ? [] : [`Content-Length: ${bytes.length}`]
  const head = [`HTTP/1.1 ${status} Said`, ...length, ...headers].join("\r\n")
  return Buffer.concat([
    Buffer.from(`${head}\r\n\r\n`, "latin1"),
    isEmpty ? Buffer.alloc(0) : bytes,
  ])
}

/** Cuts what comes on one connection into heads and bodies, chunked ones too. */
function createReader(begin: (head: string) => Taking): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  let call: Taking | null = null
  /** Bytes still to come of the body or chunk; null: a size of a chunk comes next. */
  let left: number | null = 0
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    while (rest.length > 0 && (call === null ? takeHead() : takeBody(call)));
  }

  function takeHead(): boolean {
    const end = rest.indexOf("\r\n\r\n")
    if (end === -1) return false
    const begun = begin(rest.subarray(0, end).toString("latin1"))
    rest = rest.subarray(end + 4)
    call = begun
    const isChunked = begun.headers["transfer-encoding"] === "chunked"
    left = isChunked ? null : Number(begun.headers["content-length"] ?? 0)
    if (left === 0) finish(begun)
    return true
  }

  function takeBody(taking: Taking): boolean {
    if (left === null) return takeSize(taking)
    const part = rest.subarray(0, left)
    taking.take(part)
    rest = rest.subarray(part.length)
    left -= part.length
    if (left > 0) return false
    if (taking.headers["transfer-encoding"] === "chunked") left = null
    else finish(taking)
    return true
  }

  function takeSize(taking: Taking): boolean {
    // A line end stands before every size but the first.
    const from = rest[0] === 13 ? 2 : 0
    const end = rest.indexOf("\r\n", from)
    if (end === -1) return false
    const size = Number.parseInt(rest.subarray(from, end).toString(), 16)
    if (size === 0 && rest.length < end + 4) return false
    rest = rest.subarray(size === 0 ? end + 4 : end + 2)
    if (size === 0) finish(taking)
    else left = size
    return true
  }

  function finish(taking: Taking): void {
    taking.end()
    call = null
  }
}
