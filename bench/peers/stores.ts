import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import postgres from "postgres"
import { startPostgres } from "../../src/embedded/postgres.ts"
import { startRedis } from "../../src/embedded/redis.ts"
import { newAccountId, newCredential, newId } from "../../src/ids.ts"
import type { Account } from "../seed.ts"
import type { PeerAccount } from "./app.ts"
import type { Peer, PeerOptions } from "./peer.ts"

/** A store of a peer's own, set as ours is: every acknowledged write is on disk. */
export type PeerStore = {
  accounts: readonly Account[]
  /** The file from which the peer learns its keys. */
  accountsFile: string
  url: string
  pid: number
  books: Peer["books"]
  stop(): Promise<void>
}

const SCRIPT = join(import.meta.dir, "charge.lua")
const TABLES = join(import.meta.dir, "postgres.sql")

/** Redis with `appendfsync always`, an account a hash, and the script loaded. */
export async function startRedisStore(
  options: PeerOptions,
): Promise<PeerStore & { port: number; sha: string }> {
  const made = makeAccounts(options)
  const server = await startRedis({ dir: join(options.dir, "redis") })
  const redis = new Redis(server.url)
  const sha = String(await redis.script("LOAD", readFileSync(SCRIPT, "utf8")))
  const keys = made.accounts.map(({ id }) => `account:${id}`)
  const seeding = redis.pipeline()
  for (const key of keys) seeding.hset(key, "balance", options.creditFen, "seq", 0)
  await seeding.exec()
  return { ...made, url: server.url, port: server.port, pid: server.pid, sha, books, stop }

  async function books() {
    const reading = redis.pipeline()
    for (const key of keys) reading.hget(key, "balance")
    const balances = (await reading.exec()) ?? []
    const leftFen = balances.reduce((sum, [, balance]) => sum + Number(balance), 0)
    return { leftFen, changes: await redis.xlen("changes") }
  }

  async function stop(): Promise<void> {
    redis.disconnect()
    await server.stop()
  }
}

/** Postgres with `synchronous_commit on`, and an index for what must be found. */
export async function startPostgresStore(options: PeerOptions): Promise<PeerStore> {
  const made = makeAccounts(options)
  const server = await startPostgres({ dir: join(options.dir, "postgres"), password: "bench" })
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined })
  await sql.unsafe(readFileSync(TABLES, "utf8"))
  const ids = made.accounts.map(({ id }) => id)
  await sql`insert into accounts (id, balance) select id, ${options.creditFen} from unnest(${ids}::text[]) id`
  return { ...made, url: server.url, pid: server.pid, books, stop }

  async function books() {
    const [row] = await sql<{ left: string; changes: string }[]>`
      select (select sum(balance) from accounts) as left, (select count(*) from changes) as changes
    `
    return { leftFen: Number(row?.left), changes: Number(row?.changes) }
  }

  async function stop(): Promise<void> {
    await sql.end({ timeout: 1 })
    await server.stop()
  }
}

function makeAccounts({ dir, accounts: count, creditFen }: PeerOptions) {
  mkdirSync(dir, { recursive: true })
  const accounts = Array.from({ length: count }, () => {
    const id = newAccountId()
    return { id, key: newCredential("fk", id), creditFen }
  })
  const known: PeerAccount[] = accounts.map(({ id, key }) => ({ id, key, keyId: newId("key") }))
  const accountsFile = join(dir, "accounts.json")
  writeFileSync(accountsFile, JSON.stringify(known))
  return { accounts, accountsFile }
}
