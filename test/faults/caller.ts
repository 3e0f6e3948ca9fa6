import { type Connection, openConnection } from "../../bench/generator/connection.ts"

/**
 * A client that sends each request once, whatever happens, and says what it knows of it afterwards. (A
 * client that sends again by itself, as `fetch` may, would be charged twice by right.)
 */
export type Caller = {
  call(sent: Sent): Promise<Fate>
  close(): void
}

export type Sent = {
  method: "GET" | "POST"
  path: string
  /** An API key or an access token. */
  credential: string
  requestId: string
  idempotencyKey?: string | null
  body?: object
}

export type Fate =
  /** `body` is parsed where it is JSON. */
  | { is: "answered"; status: number; head: string; body: ReturnType<typeof JSON.parse> }
  /** It was sent, and there is no whole answer: it may have been carried out. */
  | { is: "unknown" }
  /** It never left. */
  | { is: "unsent" }

type UnderWay = { bytes: Uint8Array; isSent: boolean; end(fate: Fate): void }

const TIMEOUT_MS = 4_000

export function createCaller(port: number): Caller {
  let connection: Connection | null = null
  let isOpen = false
  let current: UnderWay | null = null
  return { call, close: () => connection?.close() }

  function call(sent: Sent): Promise<Fate> {
    return new Promise((resolve) => {
      const mine = { bytes: bytesOf(port, sent), isSent: false, end }
      const timer = setTimeout(() => connection?.close(), TIMEOUT_MS)
      current = mine
      if (connection === null) connect()
      else if (isOpen) send()

      function end(fate: Fate): void {
        clearTimeout(timer)
        if (current === mine) current = null
        resolve(fate)
      }
    })
  }

  function connect(): void {
    isOpen = false
    const opened = openConnection(
      { host: "127.0.0.1", port, isTls: false },
      {
        opened() {
          isOpen = true
          send()
        },
        answered({ status, head, body }) {
          current?.end({ is: "answered", status, head, body: read(head, body) })
        },
        closed() {
          if (connection === opened) connection = null
          current?.end({ is: current.isSent ? "unknown" : "unsent" })
        },
      },
    )
    connection = opened
  }

  function send(): void {
    if (current === null) return
    current.isSent = true
    connection?.send(current.bytes)
  }
}

function bytesOf(port: number, sent: Sent): Uint8Array {
  const { method, path, credential, requestId, idempotencyKey = null, body } = sent
  const text = body === undefined ? "" : JSON.stringify(body)
  const content =
    text === ""
      ? ["content-length: 0"]
      : ["content-type: application/json", `content-length: ${Buffer.byteLength(text)}`]
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    `authorization: Bearer ${credential}`,
    `x-request-id: ${requestId}`,
    ...(idempotencyKey === null ? [] : [`idempotency-key: ${idempotencyKey}`]),
    ...(method === "GET" ? [] : content),
  ]
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${text}`)
}

function read(head: string, body: Buffer): ReturnType<typeof JSON.parse> {
  const text = body.toString()
  return /^content-type:.*json/im.test(head) ? JSON.parse(text) : text
}

export function headerOf(head: string, name: string): string | null {
  return new RegExp(`^${name}:\\s*(\\S+)\\s*$`, "im").exec(head)?.[1] ?? null
}
