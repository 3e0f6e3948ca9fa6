import { afterEach, expect, test } from "bun:test"
import { join } from "node:path"
import { Redis } from "ioredis"
import { commandOf } from "../../src/embedded/processes.ts"
import { startRedis } from "../../src/embedded/redis.ts"
import { eventually } from "../support/eventually.ts"
import { createPlaces, startAndKill } from "./places.ts"

const places = createPlaces()
afterEach(places.clear)

const PASSWORD = 'a "secret" \\ of 1'

async function ask(url: string, command: string, ...words: string[]): Promise<unknown> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0 })
  try {
    return await redis.call(command, ...words)
  } finally {
    redis.disconnect()
  }
}

test("what was answered is there after kill -9 and a start on the same port and directory", async () => {
  const dir = places.make()
  const first = await startRedis({ dir, password: PASSWORD })
  for (let i = 0; i < 100; i++) await ask(first.url, "SET", `key ${i}`, "there")
  process.kill(first.pid, "SIGKILL")
  await first.exited
  const second = places.add(await startRedis({ dir, password: PASSWORD, port: first.port }))
  expect(second.port).toBe(first.port)
  expect(await ask(second.url, "DBSIZE")).toBe(100)
})

test("Redis neither evicts nor answers before the disk has it", async () => {
  const { url } = places.add(await startRedis({ dir: places.make(), password: PASSWORD }))
  const settings = ["appendonly", "appendfsync", "save", "maxmemory-policy", "bind"]
  const values = await Promise.all(settings.map((name) => ask(url, "CONFIG", "GET", name)))
  expect(values.map((pair) => [pair].flat(2)[1])).toEqual([
    ...["yes", "always", "", "noeviction", "127.0.0.1"],
  ])
})

test("the password is asked for, and is on no command line", async () => {
  const { url, port, pid } = places.add(
    await startRedis({ dir: places.make(), password: PASSWORD }),
  )
  expect(await ask(url, "PING")).toBe("PONG")
  expect(ask(`redis://127.0.0.1:${port}`, "PING")).rejects.toThrow("NOAUTH")
  expect(commandOf(pid)).not.toContain("secret")
})

test("a directory below one that is closed to others will do", async () => {
  const { url } = places.add(await startRedis({ dir: join(places.make(), "deep", "redis") }))
  expect(await ask(url, "PING")).toBe("PONG")
})

test("its end is seen", async () => {
  const redis = places.add(await startRedis({ dir: places.make() }))
  process.kill(redis.pid, "SIGTERM")
  expect(await redis.exited).toBe(0)
})

test("a start that fails says what Redis said", async () => {
  const { port } = places.add(await startRedis({ dir: places.make() }))
  expect(startRedis({ dir: places.make(), port })).rejects.toThrow(/Redis did not start: .*listen/)
})

test("one that an earlier run left on the directory is stopped first, and keeps its data", async () => {
  const dir = places.make()
  // Without setpriv on its PATH it cannot be told to end with its parent.
  const left = await startAndKill({ what: "redis", dir, path: places.makePath("redis-server") })
  await ask(left.url, "SET", "key", "there")
  const redis = places.add(await startRedis({ dir }))
  expect(commandOf(left.pid)).toBeNull()
  expect(await ask(redis.url, "GET", "key")).toBe("there")
})

test("a stranger that has got the pid of an earlier run is left alone", async () => {
  const dir = places.make()
  const stranger = places.add(Bun.spawn(["sleep", "600"]))
  await Bun.write(join(dir, "redis.pid"), `${stranger.pid}\n`)
  places.add(await startRedis({ dir }))
  expect(commandOf(stranger.pid)).toBe("sleep 600")
})

test("it ends when the process that started it is killed", async () => {
  const left = await startAndKill({ what: "redis", dir: places.make(), path: process.env.PATH })
  await eventually(() => commandOf(left.pid) === null)
})
