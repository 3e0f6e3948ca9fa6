/** One answer of an HTTP/1.1 server. */
export type HttpAnswer = {
  status: number
  /** All header lines, as they came. */
  head: string
  body: Buffer
  /** The server closes the connection behind it. */
  isLast: boolean
}

/** What the bytes so far are: a whole answer, less than one, or no HTTP at all. */
export type Reading = { state: "answer"; answer: HttpAnswer } | { state: "more" | "broken" }

const MORE: Reading = { state: "more" }
const BROKEN: Reading = { state: "broken" }
const HEAD_BYTES_MAX = 65_536
const EMPTY = Buffer.alloc(0)

/**
 * Puts one answer together from the pieces in which it arrives. Written for a connection that has
 * one call under way, so that bytes behind an answer are a fault. An answer without a length ends
 * with its connection: `end` tells it.
 */
export function createAnswerReader(): { push(piece: Buffer): Reading; end(): Reading } {
  let pieces: Buffer[] = []
  let bytes = 0
  let head: Head | null = null
  return { push, end }

  function push(piece: Buffer): Reading {
    pieces.push(piece)
    bytes += piece.length
    if (head === null) {
      const found = readHead(whole())
      if (found === "broken") return BROKEN
      if (found === "more") return bytes > HEAD_BYTES_MAX ? BROKEN : MORE
      // An interim answer, such as 100 Continue: the one that counts comes behind it.
      if (found.status < 200) return again(found.bodyAt)
      head = found
    }
    return tryBody(head)
  }

  /** The connection is closed: complete only where that is what ends the answer. */
  function end(): Reading {
    if (head === null || head.length !== "until closed") return BROKEN
    return done(head, { body: whole().subarray(head.bodyAt), end: bytes })
  }

  function tryBody(found: Head): Reading {
    const { length, bodyAt } = found
    if (length === "until closed") return MORE
    if (length === "chunked") {
      const chunks = readChunks(whole(), bodyAt)
      return typeof chunks === "string" ? (chunks === "more" ? MORE : BROKEN) : done(found, chunks)
    }
    const bodyEnd = bodyAt + length
    if (bytes < bodyEnd) return MORE
    return done(found, { body: whole().subarray(bodyAt, bodyEnd), end: bodyEnd })
  }

  function done({ status, text, isLast }: Head, { body, end }: { body: Buffer; end: number }) {
    const isExact = end === bytes
    pieces = []
    bytes = 0
    head = null
    if (!isExact) return BROKEN
    return { state: "answer", answer: { status, head: text, body, isLast } } as const
  }

  function again(from: number): Reading {
    const rest = whole().subarray(from)
    pieces = []
    bytes = 0
    return rest.length === 0 ? MORE : push(rest)
  }

  function whole(): Buffer {
    if (pieces.length > 1) pieces = [Buffer.concat(pieces)]
    return pieces[0] ?? EMPTY
  }
}

type Head = {
  status: number
  text: string
  bodyAt: number
  length: number | "chunked" | "until closed"
  isLast: boolean
}

function readHead(bytes: Buffer): Head | "more" | "broken" {
  const end = bytes.indexOf("\r\n\r\n")
  if (end === -1) return "more"
  const text = bytes.toString("latin1", 0, end)
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1]
  if (status === undefined) return "broken"
  const length = lengthOf(Number(status), text)
  if (length === null) return "broken"
  const isClosing = length === "until closed" || /^connection:\s*close\s*$/im.test(text)
  return { status: Number(status), text, bodyAt: end + 4, length, isLast: isClosing }
}

function lengthOf(status: number, text: string): Head["length"] | null {
  if (status < 200 || status === 204 || status === 304) return 0
  const length = /^content-length:\s*(\S+)\s*$/im.exec(text)?.[1]
  if (length !== undefined) return /^\d{1,12}$/.test(length) ? Number(length) : null
  return /^transfer-encoding:.*\bchunked\s*$/im.test(text) ? "chunked" : "until closed"
}

/** The body of a chunked answer, and where it ends with its trailers. */
function readChunks(
  bytes: Buffer,
  from: number,
): { body: Buffer; end: number } | "more" | "broken" {
  const chunks: Buffer[] = []
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at)
    if (lineEnd === -1) return "more"
    const size = /^([0-9a-f]{1,8})\s*(?:;.*)?$/i.exec(bytes.toString("latin1", at, lineEnd))?.[1]
    if (size === undefined) return "broken"
    const length = Number.parseInt(size, 16)
    const dataAt = lineEnd + 2
    if (length === 0) {
      // Trailers, if there are any, end like a head does; none at all is one empty line.
      const end = bytes.indexOf("\r\n\r\n", lineEnd)
      return end === -1 ? "more" : { body: Buffer.concat(chunks), end: end + 4 }
    }
    if (bytes.length < dataAt + length + 2) return "more"
    chunks.push(bytes.subarray(dataAt, dataAt + length))
    at = dataAt + length + 2
  }
}
