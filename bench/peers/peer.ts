import type { Account } from "../seed.ts"

/** Another build of the same charge, running, with stores of its own. */
export type Peer = {
  name: PeerName
  url: string
  accounts: readonly Account[]
  pids: { gateway: number; store: number }
  /** What its store says: fen left on all accounts, and changes recorded. */
  books(): Promise<{ leftFen: number; changes: number }>
  stop(): Promise<void>
}

export const PEER_NAMES = ["elysia", "pipelined", "nginx", "postgres", "statement"] as const
export type PeerName = (typeof PEER_NAMES)[number]

export const PEER_TITLES: Record<PeerName, string> = {
  elysia: "Elysia, one EVALSHA per call",
  pipelined: "the same, ioredis pipelining by itself",
  nginx: "nginx with Lua, one EVALSHA per call",
  postgres: "Postgres alone, a transaction per call",
  statement: "Postgres alone, one statement per call",
}

export type PeerOptions = {
  /** For its logs and data. */
  dir: string
  /** How many, and what each has. */
  accounts: number
  creditFen: number
}
