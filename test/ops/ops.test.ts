import { afterEach, describe, expect, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createPlaces } from "../embedded/places.ts"
import { ops } from "./ops.ts"

/** What an operator is told who uses it wrongly, or where nothing runs. */

const places = createPlaces()
afterEach(places.clear)

const COMMANDS = ["status", "reconcile", "verify-chain", "resume", "rebuild", "backup", "restore"]

test("--help lists the commands, and each has a --help of its own", async () => {
  const listed = await ops({}, "--help")
  expect(listed.code).toBe(0)
  for (const name of COMMANDS) {
    expect(listed.out).toContain(`\n  ${name} `)
    const { code, out } = await ops({}, name, "--help")
    expect([name, code, out.startsWith(`npm run ops -- ${name}`)]).toEqual([name, 0, true])
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(110)
  }
})

const wrong: [words: string[], sentence: string][] = [
  [["clerk"], 'There is no command "clerk".'],
  [["toString"], 'There is no command "toString".'],
  [["status", "--nope"], "Unknown option '--nope'."],
  [["status", "now"], '"now" is not expected here.'],
  [["resume"], "It takes <partition>, and was given 0 words."],
  [["resume", "0", "1"], "It takes <partition>, and was given 2 words."],
  [["resume", "first"], 'partition must be a whole number from 0 to 1023; it is "first".'],
  [
    ["rebuild", "--partitions", "0"],
    '--partitions must be a whole number from 1 to 1024; it is "0".',
  ],
  [["rebuild", "--partitions"], "Option '--partitions <value>' argument missing."],
  [["backup"], "It takes <dir>, and was given 0 words."],
]

describe("wrong usage is a sentence and the usage, and exit code 2:", () => {
  for (const [words, sentence] of wrong) {
    test(words.join(" "), async () => {
      const { code, out, err } = await ops({ DATA_DIR: "/nowhere" }, ...words)
      expect([code, out]).toEqual([2, ""])
      expect(err.split("\n")[0]).toBe(sentence)
      expect(err).toContain("npm run ops -- ")
    })
  }
})

test("no command at all is answered with the list, and exit code 2", async () => {
  expect(await ops({})).toMatchObject({ code: 2, err: "" })
})

test("where nothing runs, each command says so in one sentence, and exits with 1", async () => {
  const dataDir = join(places.make(), "data")
  for (const words of [["status"], ["reconcile"], ["verify-chain"], ["resume", "0"]]) {
    expect(await ops({ DATA_DIR: dataDir }, ...words)).toEqual({
      code: 1,
      out: "",
      err: `Nothing runs on ${dataDir}: start it there, set DATA_DIR, or set REDIS_URL and DATABASE_URL.\n`,
    })
  }
  expect((await ops({ DATA_DIR: dataDir }, "backup", join(dataDir, "backup"))).err).toBe(
    `Nothing runs on ${dataDir}: a copy of that directory is a backup of it.\n`,
  )
})

test("the lock of a program that was killed is not taken for one that runs", async () => {
  const dataDir = join(places.make(), "data")
  mkdirSync(dataDir)
  writeFileSync(join(dataDir, "lock"), `${process.pid} 1\n`)
  writeFileSync(join(dataDir, "stores.json"), JSON.stringify({ redis: { url: "redis://x" } }))
  expect((await ops({ DATA_DIR: dataDir }, "status")).err).toStartWith("Nothing runs on ")
})

test("servers that are not there are one sentence", async () => {
  const env = {
    REDIS_URL: "redis://127.0.0.1:1",
    DATABASE_URL: "postgres://nobody@127.0.0.1:1/none",
  }
  const { code, err } = await ops(env, "resume", "0")
  expect(code).toBe(1)
  expect(err).toBe("Postgres cannot be reached: connect ECONNREFUSED 127.0.0.1:1\n")
  expect(await ops({ REDIS_URL: "redis://127.0.0.1:1" }, "status")).toEqual({
    code: 1,
    out: "",
    err: "REDIS_URL is set without DATABASE_URL: set both to use your own servers, or neither to have them started.\n",
  })
}, 30_000)
