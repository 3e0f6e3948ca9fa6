import { afterEach, expect, test } from "bun:test"
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { eventually } from "../support/eventually.ts"
import { createPlaces } from "./places.ts"

const places = createPlaces()
afterEach(places.clear)

const ROOT = Bun.fileURLToPath(new URL("../..", import.meta.url))

/** A checkout whose packages are installed, and a PATH on which there are these programs alone. */
function startSetup(options: {
  programs: string[]
  words: string[]
  env?: Record<string, string>
}) {
  const root = places.make()
  mkdirSync(join(root, "src", "embedded"), { recursive: true })
  copyFileSync(`${ROOT}src/embedded/setup.mjs`, join(root, "src", "embedded", "setup.mjs"))
  copyFileSync(`${ROOT}package-lock.json`, join(root, "package-lock.json"))
  symlinkSync(`${ROOT}node_modules`, join(root, "node_modules"))
  const child = Bun.spawn(["node", join(root, "src/embedded/setup.mjs"), ...options.words], {
    cwd: root,
    env: { PATH: places.makePath("node", ...options.programs), ...options.env },
    stdout: "pipe",
    stderr: "pipe",
  })
  return { child, root, said: () => Promise.all([child.stdout.text(), child.stderr.text()]) }
}

/** A program of this name that does what the shell script says. */
function fakeProgram(name: string, script: string): string {
  const path = join(places.make(), name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return path
}

const STORES = ["--with", "stores", "--", "bun", "-e", "console.log(1)"]

test("without redis-server and without apt-get it says in one sentence what to install", async () => {
  const { child, said } = startSetup({ programs: [], words: STORES })
  expect(await said()).toEqual([
    "",
    "Fengate needs redis-server 7.0 or newer: install it with your system's package manager (Debian, Ubuntu: sudo apt-get install redis-server), then run this again.\n",
  ])
  expect(await child.exited).toBe(1)
})

test("what only the benchmark would like is said to be missing, and the command runs", async () => {
  const words = ["--with", "nginx-lua", "--", "bun", "-e", "console.log(1)"]
  const { child, said } = startSetup({ programs: [], words })
  const [output, errors] = await said()
  expect(output).toBe("1\n")
  expect(errors).toStartWith("The benchmark's comparison with nginx needs nginx with Lua: install")
  expect(await child.exited).toBe(0)
})

test("a Redis that is too old is named", async () => {
  const old = fakeProgram("redis-server", "echo Redis server v=6.0.16 sha=0")
  const { child, said } = startSetup({
    programs: [],
    words: STORES,
    env: { PATH: `${places.makePath("node")}:${join(old, "..")}` },
  })
  expect((await said())[1]).toBe(
    "Fengate needs redis-server 7.0 or newer, and the one on this machine is 6.0.16: install a newer one, or set REDIS_URL and DATABASE_URL to use your own servers.\n",
  )
  expect(await child.exited).toBe(1)
})

test("with servers of one's own no Redis is asked for", async () => {
  const env = { REDIS_URL: "redis://redis", DATABASE_URL: "postgres://postgres" }
  const { child, said } = startSetup({ programs: [], words: STORES, env })
  expect(await said()).toEqual(["1\n", ""])
  expect(await child.exited).toBe(0)
})

test("it ends as the command ends", async () => {
  const { child } = startSetup({ programs: [], words: ["--", "bun", "-e", "process.exit(7)"] })
  expect(await child.exited).toBe(7)
})

test("it hands signals to the command, and ends after it", async () => {
  const stopping = `
    process.on("SIGTERM", () => setTimeout(() => { console.log("done"); process.exit(0) }, 100))
    console.log("up")`
  const program = ["--", "bun", "-e", `${stopping}; setInterval(() => {}, 1e6)`]
  const { child } = startSetup({ programs: [], words: program })
  let shown = ""
  const reading = (async () => {
    for await (const bytes of child.stdout) shown += new TextDecoder().decode(bytes)
  })()
  await eventually(() => shown.includes("up"))
  child.kill("SIGTERM")
  expect(await child.exited).toBe(0)
  await reading
  expect(shown).toBe("up\ndone\n")
})
