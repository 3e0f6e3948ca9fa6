import { connect, createServer, type Server, type Socket } from "node:net"

/**
 * A TCP relay between a client and Redis or Postgres, whose network breaks when a test says so. What
 * it does to bytes is what networks do: they are late, or the connection ends; none is ever lost
 * from the middle of a connection.
 */
export type Relay = {
  port: number
  /** The URL with this relay's address in place of the server's. */
  through(url: string): string
  /** How many connections were accepted, requests forwarded and replies given, in chunks. */
  counts(): { connections: number; requests: number; replies: number }
  /** The next request that holds `text` is forwarded; its reply is lost, and its connection cut. */
  cutBeforeReplyTo(text: string): Promise<void>
  /** Replies are kept until they are released. */
  holdReplies(): void
  /** Requests are kept until they are released: the server does not see them. */
  holdRequests(): void
  /** Gives away, in order, what was kept. */
  release(): void
  /** Kept bytes are dropped, and so are the replies of every connection that is open now. */
  blackHole(): void
  cutAll(): void
  /** Cuts every connection, and accepts none until `accept`. */
  refuse(): void
  accept(): void
  stop(): Promise<void>
}

type Pair = { client: Socket; server: Socket; isDeaf: boolean; isDoomed: boolean }
type Kept = { to: Socket; bytes: Buffer }
type Cut = { text: string; done(): void }

export async function startRelay(target: number): Promise<Relay> {
  const pairs = new Set<Pair>()
  const counts = { connections: 0, requests: 0, replies: 0 }
  const kept: { requests: Kept[] | null; replies: Kept[] | null } = { requests: null, replies: null }
  let cut: Cut | null = null
  let isRefusing = false
  const listener = createServer({ noDelay: true }, (client) => {
    if (isRefusing) client.destroy()
    else join(client)
  })
  const port = await listen(listener)

  return {
    port,
    through: (url) => url.replace(`:${target}`, `:${port}`),
    counts: () => ({ ...counts }),
    cutBeforeReplyTo,
    holdReplies: () => void (kept.replies ??= []),
    holdRequests: () => void (kept.requests ??= []),
    release,
    blackHole,
    cutAll,
    refuse,
    accept: () => void (isRefusing = false),
    stop,
  }

  function join(client: Socket): void {
    counts.connections++
    const server = connect({ host: "127.0.0.1", port: target, noDelay: true })
    const pair: Pair = { client, server, isDeaf: false, isDoomed: false }
    pairs.add(pair)
    client.on("data", (bytes) => forward(pair, Buffer.from(bytes)))
    server.on("data", (bytes) => give(pair, Buffer.from(bytes)))
    for (const socket of [client, server]) {
      socket.on("error", () => undefined)
      socket.on("close", () => end(pair))
    }
  }

  function forward(pair: Pair, bytes: Buffer): void {
    if (cut !== null && bytes.includes(cut.text)) pair.isDoomed = true
    if (kept.requests !== null) kept.requests.push({ to: pair.server, bytes })
    else {
      counts.requests++
      pair.server.write(bytes)
    }
  }

  /** A reply shows that the server has carried out what it answers: from here on it may be lost. */
  function give(pair: Pair, bytes: Buffer): void {
    if (pair.isDeaf) return
    if (pair.isDoomed) {
      end(pair)
      cut?.done()
      cut = null
    } else if (kept.replies !== null) kept.replies.push({ to: pair.client, bytes })
    else {
      counts.replies++
      pair.client.write(bytes)
    }
  }

  function end(pair: Pair): void {
    pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }

  function cutBeforeReplyTo(text: string): Promise<void> {
    return new Promise((done) => {
      cut = { text, done }
    })
  }

  function release(): void {
    const all = [...(kept.requests ?? []), ...(kept.replies ?? [])]
    kept.requests = null
    kept.replies = null
    for (const { to, bytes } of all) if (!to.destroyed) to.write(bytes)
  }

  function blackHole(): void {
    kept.requests = null
    kept.replies = null
    for (const pair of pairs) pair.isDeaf = true
  }

  function cutAll(): void {
    for (const pair of pairs) end(pair)
  }

  function refuse(): void {
    isRefusing = true
    cutAll()
  }

  async function stop(): Promise<void> {
    refuse()
    await new Promise((resolve) => listener.close(resolve))
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const address = server.address()
      if (address === null || typeof address === "string") reject(new Error("the relay has no port"))
      else resolve(address.port)
    })
  })
}
