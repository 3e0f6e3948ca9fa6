import type { Random } from "../random.ts"
import type { Part, Scheduler } from "../scheduler.ts"
import { READS, RedisError, type Reply } from "./commands.ts"
import { createRedisServer, type RedisServer } from "./server.ts"

/** What becomes of one command on its way. */
export type Fate = {
  requestMs: number
  replyMs: number
  /** The connection ends: before the command has arrived, or once it was carried out. */
  cut: null | "request" | "reply"
  /** From now on nothing arrives on this connection any more, and neither side is told. */
  isSilent: boolean
}

/** A connection from a process to Redis: what is sent arrives in order, and so do the replies. */
export type Link = {
  part: Part | null
  isOpen: boolean
  /** Whether what was sent before it was closed may still arrive. */
  isDelivered: boolean
  isSilent: boolean
  arrivesMs: number
  repliesMs: number
  onClose(reason: string): void
}

type Answer = (error: RedisError | null, reply: Reply) => void

/** Redis and the network before it. */
export type RedisHost = {
  server: RedisServer
  /** Null: nobody listens. */
  connect(part: Part | null, onClose: (reason: string) => void): Link | null
  send(link: Link, args: readonly string[], answer: Answer): void
  close(link: Link): void
  /** Its process has died: what it had sent may be on its way still. */
  drop(part: Part): void
  isUp(): boolean
  /** kill -9: what was not synced may be lost, and was not answered either. */
  crash(): void
  start(options: { loadingMs: number }): void
  /** Its process stands still. */
  pause(forMs: number): void
  cutAll(): void
  /** What writes are answered with meanwhile. */
  refuse(message: string | null): void
}

type Deps = {
  scheduler: Scheduler
  random: Random
  nowMs(): number
  fateOf(args: readonly string[], part: Part | null): Fate
  onScriptError(error: Error): void
  onAppend(stream: string, position: string, fields: readonly string[]): void
  onExecuted(args: readonly string[]): void
}

const SYNC_MS_MAX = 0.8

export function createRedisHost(deps: Deps): RedisHost {
  const { scheduler, random, fateOf } = deps
  const server = createRedisServer(deps)
  const links = new Set<Link>()
  let isUp = true
  /** Of which life of the process an event is. */
  let life = 0
  let pausedUntilMs = 0
  let loadingUntilMs = 0
  let syncedWrites = 0
  let refusal: string | null = null

  return {
    server,
    connect,
    send,
    close,
    drop(part) {
      for (const link of links) if (link.part === part) close(link)
    },
    isUp: () => isUp,
    crash,
    start({ loadingMs }) {
      isUp = true
      loadingUntilMs = scheduler.now() + loadingMs
    },
    pause(forMs) {
      pausedUntilMs = Math.max(pausedUntilMs, scheduler.now() + forMs)
    },
    cutAll: () => cutLinks("read ECONNRESET"),
    refuse(message) {
      refusal = message
    },
  }

  function connect(part: Part | null, onClose: (reason: string) => void): Link | null {
    if (!isUp) return null
    const link = { part, isOpen: true, isDelivered: true, isSilent: false, onClose }
    const opened = { ...link, arrivesMs: 0, repliesMs: 0 }
    links.add(opened)
    return opened
  }

  function send(link: Link, args: readonly string[], answer: Answer): void {
    const fate = fateOf(args, link.part)
    if (fate.isSilent) {
      // The last command may still get through.
      link.isDelivered = random.chance(0.5)
      link.isSilent = true
    }
    if (fate.cut === "request") cut(link, "read ECONNRESET")
    link.arrivesMs = Math.max(link.arrivesMs, scheduler.now() + fate.requestMs)
    const sentIn = life
    scheduler.after(link.arrivesMs - scheduler.now(), () => arrive(), null)

    function arrive(): void {
      if (life !== sentIn || !link.isDelivered) return
      if (pausedUntilMs > scheduler.now()) {
        scheduler.after(pausedUntilMs - scheduler.now(), arrive, null)
        return
      }
      const [error, reply] = carryOut(args)
      const written = server.writes()
      scheduler.after(random.next() * SYNC_MS_MAX, () => synced(written, error, reply), null)
    }

    function synced(written: number, error: RedisError | null, reply: Reply): void {
      if (life !== sentIn) return
      syncedWrites = Math.max(syncedWrites, written)
      if (fate.cut === "reply") cut(link, "read ECONNRESET")
      if (!link.isOpen || link.isSilent) return
      link.repliesMs = Math.max(link.repliesMs, scheduler.now() + fate.replyMs)
      const back = () => {
        if (link.isOpen && !link.isSilent) answer(error, reply)
      }
      scheduler.after(link.repliesMs - scheduler.now(), back, link.part)
    }
  }

  function carryOut(args: readonly string[]): [RedisError | null, Reply] {
    try {
      if (loadingUntilMs > scheduler.now()) {
        throw new RedisError("LOADING Redis is loading the dataset in memory")
      }
      const isRead = READS.has((args[0] ?? "").toUpperCase())
      if (refusal !== null && !isRead) throw new RedisError(refusal)
      const reply = server.execute(args)
      deps.onExecuted(args)
      return [null, reply]
    } catch (error) {
      if (error instanceof RedisError) return [error, null]
      throw error
    }
  }

  /** Both ends learn of it, the process a moment later. What was sent may be on its way still. */
  function cut(link: Link, reason: string): void {
    if (!link.isOpen) return
    link.isOpen = false
    link.isDelivered &&= random.chance(0.5)
    links.delete(link)
    if (!link.isSilent)
      scheduler.after(random.between(0.05, 1), () => link.onClose(reason), link.part)
  }

  function close(link: Link): void {
    link.isOpen = false
    link.isDelivered &&= random.chance(0.5)
    links.delete(link)
  }

  function cutLinks(reason: string): void {
    for (const link of links) cut(link, reason)
  }

  function crash(): void {
    isUp = false
    life++
    const lost = random.integer(0, Math.max(0, server.writes() - syncedWrites))
    if (lost > 0) server.goBack(lost)
    syncedWrites = server.writes()
    pausedUntilMs = 0
    server.swapScripts(new Set())
    cutLinks("read ECONNRESET")
  }
}
