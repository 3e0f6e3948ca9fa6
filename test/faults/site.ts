import { join } from "node:path"
import { type Account, seedAccounts } from "../../bench/seed.ts"
import type { Sql } from "../../db/connection.ts"
import { migrate } from "../../db/migrate.ts"
import { bootstrap } from "../../src/accounts/bootstrap.ts"
import { UPSTREAM_CALLS } from "../../src/children.ts"
import { freePort } from "../../src/embedded/processes.ts"
import { hashCredential, newCredential, newId, partitionOf } from "../../src/ids.ts"
import { eventually } from "../support/eventually.ts"
import { type Relay, startRelay } from "../support/relay.ts"
import { createRequest } from "../support/system.ts"
import { type Child, createChild } from "./children.ts"
import { type Clock, createClock, createGround, type Ground } from "./ground.ts"
import { type PostgresNode, type RedisNode, startPostgresNode, startRedisNode } from "./servers.ts"

/**
 * A whole installation of real processes, each of which may be killed and frozen, with a relay before
 * each of their connections to the stores. Redis syncs every write; Postgres has its defaults.
 */
export type Site = {
  ground: Ground
  /** Null where nothing can be compiled. */
  clock: Clock | null
  /** The node that decides; a promotion puts another in its place. */
  redis(): RedisNode
  postgres: PostgresNode
  sql: Sql
  gateways: readonly Gateway[]
  flusher: Role
  keeper: Role
  roles: readonly Role[]
  /** Where gateways write down what must outlive them. */
  dataDir: string
  accounts: Accounts
  /** Makes codes that one account each may redeem. */
  makeCodes(amountFen: number, count: number): Promise<string[]>
  /** Makes one code that so many accounts may redeem. */
  makeCode(amountFen: number, totalUses: number): Promise<string>
  /** Another redis-server, which nobody uses yet. */
  startReplica(): Promise<RedisNode>
  /** From now on all parts find this node where they found the one before. */
  promote(node: RedisNode): void
  /** One more flusher, beside the one that is there. */
  startFlusher(): Promise<Role>
  stop(): Promise<void>
}

/** A process of Fengate, and what stands between it and the stores. */
export type Role = Child & { toRedis: Relay; toPostgres: Relay }
export type Gateway = Role & { port: number }

/** With their keys, and with access tokens to redeem codes with. */
export type Payer = Account & { token: string; partition: number }
export type Accounts = {
  /** Few, which never run out, so that several callers meet at one. */
  rich: readonly Payer[]
  /** These run out, and redeem codes. */
  poor: readonly Payer[]
  /** Many, which only redeem. */
  others: readonly Payer[]
}

export const PARTITIONS = 2
export const API_INTERFACE = { id: "fault.echo", path: "/api/echo", priceFen: 3 }
const GATEWAYS = 2
/** Far above what is measured: a busy machine takes its time. */
const UP_MS_MAX = 120_000
const [RICH, POOR, OTHERS] = [12, 6, 200]
const ADMIN = { email: "admin@example.com", password: "a password for tests" }
const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts")
const KEEPER = join(import.meta.dir, "keeper-process.ts")

export async function startSite(): Promise<Site> {
  const ground = createGround()
  const clock = createClock(ground.dir)
  const stops: (() => unknown)[] = [ground.clear]
  const stop = async () => {
    for (const each of stops.splice(0).toReversed()) await each()
  }
  try {
    return { ...(await startAll({ ground, clock, stops })), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

type Start = { ground: Ground; clock: Clock | null; stops: (() => unknown)[] }

async function startAll({ ground, clock, stops }: Start): Promise<Omit<Site, "stop">> {
  const [first, postgres] = await Promise.all([
    startRedisNode(ground.disk("redis"), clock),
    startPostgresNode(ground.disk("postgres")),
  ])
  const nodes = [first]
  let current = first
  stops.push(async () => {
    await postgres.disconnect()
    await postgres.kill()
    for (const node of nodes) node.disconnect()
    await Promise.all(nodes.map((node) => node.kill()))
  })
  await migrate(postgres.url)
  const dataDir = join(ground.dir, "data")
  const roles: Role[] = []
  const launch = async (name: string, words: readonly string[], env: Record<string, string> = {}) =>
    startRole({ name, words, env, ground, first, postgres, dataDir, roles, stops })
  const keeper = await launch("keeper", [KEEPER])
  await isOpen(postgres.sql)
  await bootstrap({ databaseUrl: postgres.url, admin: ADMIN, embedded: false, loopback: true })
  const flusher = await launch("flusher", [MAIN, "flusher"])
  const gateways: Gateway[] = []
  for (let number = 1; number <= GATEWAYS; number++) {
    const port = await freePort()
    const env = { PORT: String(port) }
    gateways.push({ ...(await launch(`gateway-${number}`, [MAIN, "gateway"], env)), port })
  }
  for (const { port } of gateways) await isUp(port)
  const url = `http://127.0.0.1:${gateways[0]?.port}`
  const accounts = await makeAccounts(postgres.sql)
  const admin = await createAdmin(url, stops)
  return {
    ...{ ground, clock, postgres, gateways, flusher, keeper, roles, dataDir, accounts, ...admin },
    sql: postgres.sql,
    redis: () => current,
    async startReplica() {
      const node = await startRedisNode(ground.disk(`redis-${nodes.length + 1}`), clock)
      nodes.push(node)
      return node
    },
    promote(node) {
      current = node
      for (const role of roles) role.toRedis.pointTo(node.port)
    },
    async startFlusher() {
      const second = await launch("flusher-2", [MAIN, "flusher"])
      second.toRedis.pointTo(current.port)
      const end = async () => {
        roles.splice(roles.indexOf(second), 1)
        await second.end()
      }
      return { ...second, end }
    },
  }
}

type Launch = {
  name: string
  words: readonly string[]
  env: Record<string, string>
  ground: Ground
  first: RedisNode
  postgres: PostgresNode
  dataDir: string
  roles: Role[]
  stops: (() => unknown)[]
}

async function startRole(launch: Launch): Promise<Role> {
  const { name, words, first, postgres, dataDir, roles, stops, ground } = launch
  const [toRedis, toPostgres] = await Promise.all([
    startRelay(first.port),
    startRelay(postgres.port),
  ])
  const env = {
    ...UPSTREAM_CALLS,
    REDIS_URL: toRedis.through(first.url),
    DATABASE_URL: toPostgres.through(postgres.url),
    DATA_DIR: dataDir,
    PARTITIONS: String(PARTITIONS),
    GATEWAYS: String(GATEWAYS),
    ...launch.env,
  }
  const command = [process.execPath, ...words]
  const role = { ...createChild({ name, command, env, dir: ground.dir }), toRedis, toPostgres }
  roles.push(role)
  stops.push(async () => {
    await role.end()
    await Promise.all([toRedis.stop(), toPostgres.stop()])
  })
  await role.start()
  return role
}

async function isOpen(sql: Sql): Promise<void> {
  const look = async () => {
    const open = await sql`select 1 from partitions where is_open`
    return open.length === PARTITIONS
  }
  await eventually(look, { timeoutMs: UP_MS_MAX })
}

/** What the parts say of themselves, for whoever looks at a run that did not end well. */
export async function describeSite({ gateways, roles }: Site): Promise<string> {
  const looks = gateways.map(async ({ name, port }) => {
    const url = `http://127.0.0.1:${port}/readyz?verbose`
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(String)
    return `${name}: ${typeof answer === "string" ? answer : await answer.text()}`
  })
  const words = roles.map((role) => `--- ${role.name}\n${role.lastWords()}`)
  return [...(await Promise.all(looks)), ...words].join("\n")
}

/** It says so when a charge would be decided. */
export async function isUp(port: number): Promise<void> {
  const look = async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null)
    return answer?.status === 200
  }
  await eventually(look, { timeoutMs: UP_MS_MAX })
}

async function makeAccounts(sql: Sql): Promise<Accounts> {
  const seed = async (count: number, creditFen: number): Promise<Payer[]> => {
    const seeded = await seedAccounts(sql, { count, creditFen })
    return seeded.map((account) => {
      const token = newCredential("fa", account.id)
      return { ...account, token, partition: partitionOf(account.id, PARTITIONS) }
    })
  }
  const rich = await seed(RICH, 1_000_000_000)
  const poor = await seed(POOR, 500)
  const others = await seed(OTHERS, 0)
  await makeSessions(sql, [...rich, ...poor, ...others])
  const look = async () =>
    (await sql`select 1 from instructions where not flushed limit 1`).length === 0
  await eventually(look, { timeoutMs: UP_MS_MAX })
  return { rich, poor, others }
}

async function makeSessions(sql: Sql, payers: readonly Payer[]): Promise<void> {
  const literal = (texts: string[]) => `{${texts.join(",")}}`
  await sql`
    insert into sessions (id, account_id, token_hash, address, expires_at)
    select id, account, hash, '127.0.0.1', now() + interval '1 day'
    from unnest(${literal(payers.map(() => newId("ses")))}::text::text[],
      ${literal(payers.map(({ id }) => id))}::text::text[],
      ${literal(payers.map(({ token }) => hashCredential(token)))}::text::text[]
    ) as made(id, account, hash)
  `
}

/** What an administrator prepares: the API that is sold, and redemption codes. */
async function createAdmin(url: string, stops: (() => unknown)[]) {
  const request = createRequest(url)
  const upstream = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("ok") })
  stops.push(() => upstream.stop(true))
  const post = async (path: string, body: object, token?: string) => {
    const answer = await request("POST", path, { body, token })
    if (answer.status === 201) return answer.body
    throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  }
  const { accessToken } = await post("/v1/sessions", ADMIN)
  await post(
    "/v1/admin/interfaces",
    {
      ...{ ...API_INTERFACE, name: "Echo", method: "GET", path: `${API_INTERFACE.path}/{id}` },
      ...{ upstreamUrl: `http://127.0.0.1:${upstream.port}`, timeoutMs: 2_000 },
    },
    accessToken,
  )
  const codes = async (body: object): Promise<string[]> => {
    const { items } = await post("/v1/admin/redemption-codes", body, accessToken)
    return items.map((item: { code: string }) => item.code)
  }
  return {
    makeCodes: (amountFen: number, count: number) => codes({ amountFen, count, totalUses: 1 }),
    async makeCode(amountFen: number, totalUses: number): Promise<string> {
      const [code] = await codes({ amountFen, count: 1, totalUses })
      if (code === undefined) throw new Error("no code was made")
      return code
    },
  }
}
