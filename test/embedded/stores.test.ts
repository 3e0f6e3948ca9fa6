import { afterEach, expect, test } from "bun:test"
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startEmbeddedStores } from "../../src/embedded/index.ts"
import { lockDirectory } from "../../src/embedded/lock.ts"
import { commandOf } from "../../src/embedded/processes.ts"
import { eventually } from "../support/eventually.ts"
import { createPlaces } from "./places.ts"

const places = createPlaces()
afterEach(places.clear)

const onProgress = (): void => {}

test("both stores start in a closed directory, and again with the same data and passwords", async () => {
  const dataDir = join(places.make(), "data")
  const first = await startEmbeddedStores({ dataDir, onProgress })
  expect(first.fresh).toBeTrue()
  expect(statSync(dataDir).mode & 0o777).toBe(0o700)
  expect(statSync(join(dataDir, "stores.json")).mode & 0o777).toBe(0o600)
  const { redis, postgres } = await Bun.file(join(dataDir, "stores.json")).json()
  expect([redis.url, postgres.url]).toEqual([first.redisUrl, first.databaseUrl])
  const { pids } = first
  await first.stop()
  expect([commandOf(pids.redis), commandOf(pids.postgres)]).toEqual([null, null])
  expect(existsSync(join(dataDir, "lock"))).toBeFalse()

  const second = await startEmbeddedStores({ dataDir, onProgress })
  expect(second.fresh).toBeFalse()
  const passwordOf = (url: string) => new URL(url).password
  expect(passwordOf(second.redisUrl)).toBe(passwordOf(first.redisUrl))
  expect(passwordOf(second.databaseUrl)).toBe(passwordOf(first.databaseUrl))

  // A store that dies comes back where its clients look for it.
  const killed = second.pids
  process.kill(killed.redis, "SIGKILL")
  process.kill(killed.postgres, "SIGKILL")
  await eventually(async () => {
    const stores = await Bun.file(join(dataDir, "stores.json")).json()
    const isBack = stores.redis.pid !== killed.redis && stores.postgres.pid !== killed.postgres
    return isBack && stores.redis.url === second.redisUrl
  })
  expect(second.pids.redis).not.toBe(killed.redis)
  await second.stop()

  rmSync(join(dataDir, "stores.json"))
  expect(startEmbeddedStores({ dataDir, onProgress })).rejects.toThrow(
    "stores.json, which holds the password of the Postgres there, is missing",
  )
})

test("a second program on the directory is refused, and told what to do", () => {
  const dataDir = places.make()
  const lock = lockDirectory(dataDir)
  expect(() => lockDirectory(dataDir)).toThrow(
    `DATA_DIR ${dataDir} is in use by process ${process.pid}: stop it, set another DATA_DIR, or set REDIS_URL and DATABASE_URL to share its servers.`,
  )
  lock.release()
  lockDirectory(dataDir).release()
})

test("the lock of a program that was killed is taken over", async () => {
  const dataDir = places.make()
  const killed = Bun.spawn(["true"])
  await killed.exited
  writeFileSync(join(dataDir, "lock"), `${killed.pid} 1\n`)
  lockDirectory(dataDir).release()
})

test("a lock whose pid another program has got since is taken over", () => {
  const dataDir = places.make()
  writeFileSync(join(dataDir, "lock"), `${process.pid} 1\n`)
  lockDirectory(dataDir).release()
})
