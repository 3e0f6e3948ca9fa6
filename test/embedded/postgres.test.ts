import { afterAll, afterEach, beforeAll, expect, test } from "bun:test"
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import postgres from "postgres"
import { startPostgres } from "../../src/embedded/postgres.ts"
import { ownerFor } from "../../src/embedded/postgres-owner.ts"
import { commandOf, readIfThere } from "../../src/embedded/processes.ts"
import { eventually } from "../support/eventually.ts"
import { createPlaces, startAndKill } from "./places.ts"

const places = createPlaces()
const templates = createPlaces()
let template = ""

/** Making a database takes a second, and copying one a tenth of it. */
beforeAll(async () => {
  template = templates.make()
  const made = await startPostgres({ dir: template, password: "test" })
  await made.stop()
})
afterEach(places.clear)
afterAll(templates.clear)

async function copyDatabase(dir = places.make()): Promise<string> {
  await Bun.$`cp -a ${template}/data ${dir}/data`
  return dir
}

const isRoot = process.getuid?.() === 0
const password = "test"

async function ask(url: string, query: string): Promise<unknown[]> {
  const sql = postgres(url, { max: 1 })
  try {
    return (await sql.unsafe(query).values()).flat()
  } finally {
    await sql.end()
  }
}

test("what was committed is there after a stop and a start, and the database is made once", async () => {
  const dir = places.make()
  const first = await startPostgres({ dir, password })
  expect(first.fresh).toBeTrue()
  await ask(first.url, "create table kept as select 1 as one")
  await first.stop()
  expect(await first.exited).toBe(0)
  const second = places.add(await startPostgres({ dir, password }))
  expect(second.fresh).toBeFalse()
  expect(await ask(second.url, "select one from kept")).toEqual([1])
})

test("what was committed is there after kill -9, with a client connected, and a start at once", async () => {
  const dir = await copyDatabase()
  const first = await startPostgres({ dir, password })
  await ask(first.url, "create table kept as select 1 as one")
  const client = postgres(first.url, { max: 1 })
  await client`select 1`
  process.kill(first.pid, "SIGKILL")
  const second = places.add(await startPostgres({ dir, password, port: first.port }))
  expect(await ask(second.url, "select one from kept")).toEqual([1])
  await client.end({ timeout: 0 })
})

test("it waits until what is left of a server that was killed has ended", async () => {
  const dir = await copyDatabase()
  // Ended, and not waited for by a parent that stands still: its pid is still taken.
  const child = "until grep -q stopped /proc/$$/status; do :; done"
  const script = `{ ${child}; } & echo $!; kill -STOP $$; wait`
  const owner = ownerFor(join(dir, "data"))
  const as = owner === null ? [] : ["setpriv", `--reuid=${owner.uid}`, "--clear-groups"]
  const parent = places.add(Bun.spawn([...as, "sh", "-c", script], { stdout: "pipe" }))
  const { value } = await parent.stdout.getReader().read()
  const pid = Number(new TextDecoder().decode(value))
  await eventually(() => readIfThere(`/proc/${pid}/stat`)?.includes(") Z ") ?? false)
  writeFileSync(join(dir, "data", "postmaster.pid"), `${pid}\n${dir}/data\n1\n1\n`)
  const starting = startPostgres({ dir, password })
  await eventually(() => readIfThere(join(dir, "postgres.log"))?.includes("lock file") ?? false)
  parent.kill("SIGCONT")
  places.add(await starting)
})

test("it answers on loopback only, to the password only, and does not lie about the disk", async () => {
  const { url } = places.add(await startPostgres({ dir: await copyDatabase(), password }))
  const settings = [
    ...["listen_addresses", "unix_socket_directories", "fsync", "synchronous_commit"],
    ...["data_checksums", "server_encoding", "max_connections", "TimeZone"],
  ]
  const values = settings.map((name) => `current_setting('${name}')`)
  expect(await ask(url, `select ${values.join(", ")}`)).toEqual([
    ...["127.0.0.1", "", "on", "on"],
    ...["on", "UTF8", "500", "UTC"],
  ])
  const wrong = url.replace(`:${password}@`, ":wrong@")
  expect(ask(wrong, "select 1")).rejects.toThrow("password authentication failed")
})

test("a half-made database is made again", async () => {
  const dir = places.make()
  mkdirSync(join(dir, "data.new"))
  writeFileSync(join(dir, "data.new", "PG_VERSION"), "18\n")
  const { fresh } = places.add(await startPostgres({ dir, password }))
  expect(fresh).toBeTrue()
  expect(existsSync(join(dir, "password"))).toBeFalse()
})

test.if(isRoot)("root gives it away to a user that cannot enter the folders above", async () => {
  const dir = join(places.make(), "closed", "postgres")
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  await copyDatabase(dir)
  const { url, pid } = places.add(await startPostgres({ dir, password }))
  expect(await ask(url, "select 1")).toEqual([1])
  expect(statSync(`/proc/${pid}`).uid).not.toBe(0)
})

test.if(isRoot)("root gives no capability to it where the folders above are open", async () => {
  const above = places.make()
  chmodSync(above, 0o755)
  const dir = join(above, "postgres")
  mkdirSync(dir)
  await copyDatabase(dir)
  const { pid } = places.add(await startPostgres({ dir, password }))
  const status = await Bun.file(`/proc/${pid}/status`).text()
  const isOpen = (statSync(import.meta.dir).mode & 0o005) === 0o005
  if (isOpen) expect(/^CapEff:\s*(\w+)/m.exec(status)?.[1]).toBe("0".repeat(16))
})

test.if(isRoot)("the owner of a database that a user has made stays its owner", async () => {
  const dir = await copyDatabase()
  await Bun.$`chown -R 12345:12345 ${dir}`
  chownSync(dir, 0, 0)
  const second = places.add(await startPostgres({ dir, password }))
  expect(statSync(`/proc/${second.pid}`).uid).toBe(12_345)
})

test("one that an earlier run left on the directory is stopped first", async () => {
  const dir = await copyDatabase()
  const left = await startAndKill({ what: "postgres", dir, path: process.env.PATH })
  const { url } = places.add(await startPostgres({ dir, password }))
  expect(commandOf(left.pid)).toBeNull()
  expect(await ask(url, "select 1")).toEqual([1])
})

test("a stranger that has got the pid of an earlier run is left alone, and in nobody's way", async () => {
  const dir = await copyDatabase()
  const first = await startPostgres({ dir, password })
  process.kill(first.pid, "SIGKILL")
  await first.exited
  const stranger = places.add(Bun.spawn(["sleep", "600"]))
  const file = join(dir, "data", "postmaster.pid")
  const text = await Bun.file(file).text()
  writeFileSync(file, text.replace(/^\d+/, String(stranger.pid)))
  places.add(await startPostgres({ dir, password }))
  expect(commandOf(stranger.pid)).toBe("sleep 600")
})

test("it ends when the process that started it is killed", async () => {
  const path = process.env.PATH
  const left = await startAndKill({ what: "postgres", dir: await copyDatabase(), path })
  await eventually(() => commandOf(left.pid) === null)
})
