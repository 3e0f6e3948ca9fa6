import { connect, createServer, type Server, type Socket } from "node:net"

/**
 * A TCP relay between a client and Redis or Postgres, whose network breaks when a test says so. What
 * it does to bytes is what networks do: they are late, or the connection ends; none is ever lost
 * from the middle of a connection.
 */
export type Relay = {
  /** The URL with this relay's address in place of the server's. */
  through(url: string): string
  /** How many connections were accepted, and chunks of requests and replies passed on. */
  counts(): { connections: number; requests: number; replies: number }
  /** Whether a request that holds `text` is kept at this moment. */
  isHolding(text: string): boolean
  /** The next request that holds `text` is forwarded; its reply is lost, and its connection cut. */
  cutBeforeReplyTo(text: string): Promise<void>
  /**
   * Calls `act` in the moment at which the next request that holds `text` has come and was not forwarded,
   * or at which its reply has come and was not passed on. The connection ends then.
   */
  interrupt(text: string, moment: "request" | "reply", act: () => void): void
  /** From now on new connections go to the server at this port. */
  pointTo(port: number): void
  /** The replies on all connections of now are kept until they are released. */
  holdReplies(): void
  /** The requests on all connections of now are kept: the server does not see them. */
  holdRequests(): void
  /** Passes on, in order, what was kept. */
  release(): void
  /** All connections of now are dead, and neither side is told: what comes is thrown away. */
  blackHole(): void
  cutAll(): void
  /** Clients lose their connections; what was kept is on its way to the server still. */
  cutClients(): void
  /** Cuts every connection, and takes none until `accept`. */
  refuse(): void
  accept(): void
  stop(): Promise<void>
}

type Pair = {
  client: Socket
  server: Socket
  requests: Buffer[] | null
  replies: Buffer[] | null
  isDead: boolean
  isDoomed: boolean
  isAbandoned: boolean
}

type Cut = { text: string; moment: "request" | "reply"; act(): void }

export async function startRelay(target: number): Promise<Relay> {
  const pairs = new Set<Pair>()
  const counts = { connections: 0, requests: 0, replies: 0 }
  let cut: Cut | null = null
  let server = target
  let isRefusing = false
  const listener = createServer({ noDelay: true }, (client) => {
    if (isRefusing) client.destroy()
    else join(client)
  })
  const port = await listen(listener)

  return {
    through: (url) => url.replace(`:${target}`, `:${port}`),
    counts: () => ({ ...counts }),
    isHolding: (text) =>
      [...pairs].some(({ requests }) => requests?.some((bytes) => bytes.includes(text)) === true),
    cutBeforeReplyTo: (text) => new Promise((done) => interrupt(text, "reply", done)),
    interrupt,
    pointTo: (newPort) => void (server = newPort),
    holdReplies: () => eachPair((pair) => (pair.replies ??= [])),
    holdRequests: () => eachPair((pair) => (pair.requests ??= [])),
    release: () => eachPair(release),
    blackHole: () => eachPair((pair) => (pair.isDead = true)),
    cutAll: () => eachPair(end),
    cutClients: () => eachPair(abandon),
    refuse,
    accept: () => void (isRefusing = false),
    stop,
  }

  function join(client: Socket): void {
    counts.connections++
    const upstream = connect({ host: "127.0.0.1", port: server, noDelay: true })
    const states = { isDead: false, isDoomed: false, isAbandoned: false }
    const pair: Pair = { client, server: upstream, requests: null, replies: null, ...states }
    pairs.add(pair)
    client.on("data", (bytes) => takeRequest(pair, Buffer.from(bytes)))
    upstream.on("data", (bytes) => takeReply(pair, Buffer.from(bytes)))
    client.on("close", () => (pair.isAbandoned || pair.isDead ? undefined : end(pair)))
    upstream.on("close", () => end(pair))
    for (const socket of [client, upstream]) socket.on("error", () => undefined)
  }

  function takeRequest(pair: Pair, bytes: Buffer): void {
    if (pair.isDead) return
    if (cut !== null && bytes.includes(cut.text)) {
      if (cut.moment === "request") return strike(pair)
      pair.isDoomed = true
    }
    if (pair.requests !== null) pair.requests.push(bytes)
    else {
      counts.requests++
      pair.server.write(bytes)
    }
  }

  /** A reply shows that the server has carried out what it answers: from here on it may be lost. */
  function takeReply(pair: Pair, bytes: Buffer): void {
    if (pair.isDead || pair.isAbandoned) return
    if (pair.isDoomed) strike(pair)
    else if (pair.replies !== null) pair.replies.push(bytes)
    else {
      counts.replies++
      pair.client.write(bytes)
    }
  }

  function release(pair: Pair): void {
    const { requests, replies } = pair
    pair.requests = null
    pair.replies = null
    for (const bytes of requests ?? []) pair.server.write(bytes)
    for (const bytes of replies ?? []) pair.client.write(bytes)
  }

  function abandon(pair: Pair): void {
    pair.isAbandoned = true
    pair.client.destroy()
  }

  function end(pair: Pair): void {
    pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }

  function interrupt(text: string, moment: Cut["moment"], act: () => void): void {
    cut = { text, moment, act }
  }

  function strike(pair: Pair): void {
    const struck = cut
    cut = null
    struck?.act()
    end(pair)
  }

  function eachPair(change: (pair: Pair) => unknown): void {
    for (const pair of pairs) change(pair)
  }

  function refuse(): void {
    isRefusing = true
    eachPair(end)
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
      if (address === null || typeof address === "string") reject(new Error("no port"))
      else resolve(address.port)
    })
  })
}
