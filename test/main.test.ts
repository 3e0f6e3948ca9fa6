import { afterEach, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { commandOf, freePort } from "../src/embedded/processes.ts"
import { connected, connectRedis } from "../src/ledger/redis.ts"
import { createPlaces } from "./embedded/places.ts"
import { eventually } from "./support/eventually.ts"
import { withStores } from "./support/ledger.ts"
import { runProgram } from "./support/program.ts"

const places = createPlaces()
afterEach(places.clear)

type Environment = Record<string, string>
const startProgram = (env: Environment, words?: string[]) => runProgram(places, env, words)

/** The processes that this one has started, by their command lines. */
function childrenOf(pid: number): { pid: number; command: string }[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
  return listed
    .split(" ")
    .map(Number)
    .map((child) => ({ pid: child, command: commandOf(child) ?? "" }))
}

function childWith(pid: number, word: string): number {
  return childrenOf(pid).find(({ command }) => command.includes(word))?.pid ?? 0
}

const anEnvironment = async (): Promise<Environment> => ({
  DATA_DIR: join(places.make(), "data"),
  PORT: String(await freePort()),
  GATEWAYS: "1",
})

test("it starts from nothing, replaces what dies, and stops in order, leaving no process", async () => {
  const env = await anEnvironment()
  const { child, isUp, ended, output } = startProgram(env)
  await isUp()
  const isReady = async () => (await fetch(`http://127.0.0.1:${env.PORT}/readyz`)).ok
  expect(await isReady()).toBeTrue()

  for (const word of ["main.ts gateway", "main.ts flusher", "redis-server", "postgres -D"]) {
    const killed = childWith(child.pid, word)
    process.kill(killed, "SIGKILL")
    await eventually(() => ![0, killed].includes(childWith(child.pid, word)))
    await eventually(isReady)
  }
  expect(output()).toContain("Redis (process")

  const refused = startProgram(env)
  expect(await refused.ended()).toEqual({
    code: 1,
    output: `PORT ${env.PORT} on 127.0.0.1 is in use by another program: stop it or set PORT.\n`,
  })

  // A role that was starting while a store was away is tried again.
  await eventually(() => childrenOf(child.pid).length === 4)
  const children = childrenOf(child.pid)
  child.kill("SIGINT")
  child.kill("SIGTERM")
  expect((await ended()).code).toBe(0)
  expect(children.filter(({ pid }) => commandOf(pid) !== null)).toEqual([])
})

test("nothing outlives it when it is killed", async () => {
  const { child, isUp, ended } = startProgram({ ...(await anEnvironment()), GATEWAYS: "2" })
  await isUp()
  const children = childrenOf(child.pid)
  expect(children).toHaveLength(5)
  child.kill("SIGKILL")
  await ended()
  await eventually(() => children.every(({ pid }) => commandOf(pid) === null))
})

test("it can be stopped before it is up", async () => {
  const env = await anEnvironment()
  const { child, ended, output } = startProgram(env)
  await eventually(() => output().includes("Making the databases"))
  child.kill("SIGINT")
  expect((await ended()).code).toBe(0)
  expect(output()).not.toContain("Ctrl-C")
})

test("a wrong setting is one sentence", async () => {
  expect(await startProgram({ PORT: "http" }).ended()).toEqual({
    code: 1,
    output: 'PORT must be a whole number from 1 to 65535; it is "http".\n',
  })
})

test("an address that is not this machine's is one sentence", async () => {
  const { output } = await startProgram({ HOST: "203.0.113.1" }).ended()
  expect(output).toBe(
    "HOST 203.0.113.1 is not an address of this machine (EADDRNOTAVAIL): set HOST.\n",
  )
})

test("servers that are not there are one sentence", async () => {
  const { output, code } = await startProgram({
    PORT: String(await freePort()),
    REDIS_URL: "redis://127.0.0.1:1",
    DATABASE_URL: "postgres://nobody:secret@127.0.0.1:1/none",
  }).ended()
  expect(output).toBe("Fengate could not start: connect ECONNREFUSED 127.0.0.1:1\n")
  expect(code).toBe(1)
})

test("a Redis that may evict, or that forgets at a restart, is one sentence", async () => {
  await withStores({}, async ({ redisUrl, redisPort, databaseUrl }) => {
    const redis = connectRedis(redisUrl, { name: "test", commandTimeoutMs: 5_000 })
    await connected(redis, 5_000)
    const start = async () => {
      const port = String(await freePort())
      const dataDir = join(places.make(), "data")
      const stores = { REDIS_URL: redisUrl, DATABASE_URL: databaseUrl, DATA_DIR: dataDir }
      return await startProgram({ PORT: port, GATEWAYS: "1", PARTITIONS: "1", ...stores }).ended()
    }
    await redis.config("SET", "maxmemory-policy", "allkeys-lru")
    expect(await start()).toEqual({
      code: 1,
      output: `Redis 127.0.0.1:${redisPort} may evict balances (maxmemory-policy allkeys-lru): set maxmemory-policy noeviction.\n`,
    })
    await redis.config("SET", "maxmemory-policy", "noeviction")
    await redis.config("SET", "appendonly", "no")
    expect(await start()).toEqual({
      code: 1,
      output: `Redis 127.0.0.1:${redisPort} would forget balances at a restart: set appendonly yes, and appendfsync always.\n`,
    })
    redis.disconnect()
  })
}, 60_000)

test("a role needs servers, and has a name", async () => {
  const [role, stranger] = [startProgram({}, ["flusher"]), startProgram({}, ["clerk"])]
  expect((await role.ended()).output).toBe(
    "The role flusher needs REDIS_URL and DATABASE_URL: set both.\n",
  )
  expect((await stranger.ended()).output).toBe(
    'There is no role "clerk": name gateway or flusher, or none.\n',
  )
})
