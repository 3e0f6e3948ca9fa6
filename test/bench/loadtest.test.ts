import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Report } from "../../bench/loadtest/report.ts"
import { type Developer, newDeveloper } from "../support/developer.ts"
import { startRelay } from "../support/relay.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem()
const dir = mkdtempSync(join(tmpdir(), "fengate-loadtest-"))
afterAll(() => rmSync(dir, { recursive: true }))

const TOOL = Bun.fileURLToPath(new URL("../../bench/loadtest/run.ts", import.meta.url))

/** Runs the tool as `npm run loadtest` does. */
async function loadtest(...words: string[]) {
  const child = Bun.spawn([process.execPath, TOOL, ...words], { stdout: "pipe", stderr: "pipe" })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { code: await child.exited, output, errors }
}

let files = 0
function keysFile(lines: readonly string[]): string {
  const path = join(dir, `keys-${++files}`)
  writeFileSync(path, `${lines.join("\n")}\n`)
  return path
}

/** Words for a short load with these keys, audited, whose report is kept. */
function words(keys: readonly string[], { url = system().url } = {}): string[] {
  const settings = ["--connections", "4", "--duration", "1", "--out", join(dir, "report")]
  const database = ["--database-url", system().stores.databaseUrl]
  return ["--url", url, "--keys-file", keysFile(keys), ...settings, ...database]
}

function report(): Report {
  return JSON.parse(readFileSync(join(dir, "report", "report.json"), "utf8"))
}

function developers(count: number): Promise<Developer[]> {
  return Promise.all(
    Array.from({ length: count }, () => newDeveloper(system(), { balanceFen: 1_000_000 })),
  )
}

type Between = (forward: () => Promise<Response>, place: number) => Promise<Response>

/** A server in between, which does what it is told to with charge number 1, 2, 3 … */
async function behind(between: Between, run: (url: string) => Promise<void>): Promise<void> {
  let charges = 0
  const proxy = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const body = request.method === "POST" ? await request.text() : null
      const { method, headers } = request
      const forward = () => fetch(system().url + pathname + search, { method, headers, body })
      return pathname === "/v1/charges" ? between(forward, ++charges) : forward()
    },
  })
  try {
    await run(`http://127.0.0.1:${proxy.port}`)
  } finally {
    await proxy.stop(true)
  }
}

test("a load on several accounts balances: accepted = recorded = deducted", async () => {
  const people = await developers(3)
  const { code, output, errors } = await loadtest(...words(people.map(({ key }) => key)))

  expect([errors, code]).toEqual(["", 0])
  const { acceptedCalls, audit, isGood, lost } = report()
  expect(acceptedCalls).toBeGreaterThan(0)
  expect(audit).toMatchObject({ acceptedCalls, records: acceptedCalls, findings: [] })
  expect(audit).toMatchObject({ deductedFen: acceptedCalls, accounts: 3, otherRecords: 0 })
  expect({ isGood, lost }).toEqual({ isGood: true, lost: 0 })
  expect(output).toContain("numbered without a gap, and every balance follows")
  for (const { key } of people) expect(output).not.toContain(key)
})

test("the audit needs no more than a login of fengate_reader, and shows its password nowhere", async () => {
  const [developer] = await developers(1)
  await system().sql`drop role if exists auditor`
  await system().sql`create role auditor login password 'only to read' in role fengate_reader`
  const reader = new URL(system().stores.databaseUrl)
  reader.username = "auditor"
  reader.password = "only to read"
  const given = words([developer?.key ?? ""])
  const { code, output } = await loadtest(...given, "--database-url", reader.href)
  expect(code).toBe(0)
  const { acceptedCalls, audit } = report()
  expect(audit).toMatchObject({ acceptedCalls, records: acceptedCalls, findings: [] })
  const page = readFileSync(join(dir, "report", "report.html"), "utf8")
  expect(output + page + JSON.stringify(report())).not.toContain("only%20to%20read")
})

test("an open loop makes the calls that were due, and tells how late they were sent", async () => {
  const people = await developers(2)
  const given = words(people.map(({ key }) => key))
  const { code, output } = await loadtest(...given, "--rate", "50")
  expect(code).toBe(0)
  const { statuses, ratePerSecond } = report()
  const answers = Object.values(statuses).reduce((sum, count) => sum + count, 0)
  expect({ answers, ratePerSecond }).toEqual({ answers: 50, ratePerSecond: 50 })
  expect(output).toContain("open loop, 50 due per second, 4 connections")
  expect(output).toContain("sent late")
})

test("refusals are told by their code, and are no fault of the books", async () => {
  const poor = await newDeveloper(system(), { balanceFen: 5 })
  const { code, output } = await loadtest(...words([poor.key]))
  expect(code).toBe(0)
  const { acceptedCalls, codes, statuses } = report()
  expect(acceptedCalls).toBe(5)
  expect(codes.insufficient_balance).toBeGreaterThan(0)
  expect(statuses["402"]).toBe(codes.insufficient_balance ?? 0)
  expect(output).toContain("insufficient_balance")
})

test("other movements of the same account at the same time are told apart", async () => {
  const [developer] = await developers(1)
  const running = loadtest(...words([developer?.key ?? ""]))
  let others = 0
  for (let isOver = false; !isOver; ) {
    const answer = await developer?.charge()
    if (answer?.status === 200) others++
    isOver = await Promise.race([running.then(() => true), Bun.sleep(1).then(() => false)])
  }
  expect((await running).code).toBe(0)
  const { acceptedCalls, audit } = report()
  expect(others).toBeGreaterThan(0)
  expect(audit).toMatchObject({ acceptedCalls, records: acceptedCalls, findings: [] })
  expect(audit?.otherRecords).toBeGreaterThan(0)
})

test("a charge that was answered 503 and stays charged is found", async () => {
  const [developer] = await developers(1)
  const unfair: Between = async (forward, place) => {
    const answer = await forward()
    return place === 3 ? Response.json({ code: "billing_unavailable" }, { status: 503 }) : answer
  }
  await behind(unfair, async (url) => {
    const { code, output } = await loadtest(...words([developer?.key ?? ""], { url }))
    expect(code).toBe(1)
    const finding = "1 charges are recorded that were not answered 200, and 0 calls had no answer"
    expect(output).toContain(`${developer?.accountId}: ${finding}.`)
    expect(report()).toMatchObject({ isGood: false, lost: 0 })
  })
})

test("an answer of 200 to a call that was never charged is found", async () => {
  const [developer] = await developers(1)
  let earlier = ""
  const generous: Between = async (forward, place) => {
    if (place === 3) return new Response(earlier)
    const answer = await forward()
    if (answer.status !== 200) return answer
    earlier = await answer.text()
    return new Response(earlier)
  }
  await behind(generous, async (url) => {
    const settings = ["--connections", "1"]
    const { code, output } = await loadtest(...words([developer?.key ?? ""], { url }), ...settings)
    expect(code).toBe(1)
    expect(output).toContain("1 calls were answered with another call's charge")
    const { audit, acceptedCalls } = report()
    expect(audit?.records).toBe(acceptedCalls - 1)
  })
})

test("a call whose answer is lost is listed apart, with what the record says of it", async () => {
  const [developer] = await developers(1)
  const relay = await startRelay(Number(new URL(system().url).port))
  // Every charge of the tool has an id that begins so; the first one is charged and not answered.
  void relay.cutBeforeReplyTo("loadtest-")
  const url = relay.through(system().url)
  const given = words([developer?.key ?? ""], { url })
  const { code, output } = await loadtest(...given, "--connections", "1")
  await relay.stop()
  expect(code).toBe(1)
  expect(report()).toMatchObject({ lost: 1, isGood: false })
  expect(report().audit).toMatchObject({ lostCharged: 1, findings: [] })
  expect(output).toContain("of 1 calls without an answer, 1 were charged")
})

test("the page is whole in itself, and says what the terminal says", async () => {
  const [developer] = await developers(1)
  expect((await loadtest(...words([developer?.key ?? ""]))).code).toBe(0)
  const page = readFileSync(join(dir, "report", "report.html"), "utf8")
  expect(page.match(/<svg /g)).toHaveLength(3)
  expect(page).not.toMatch(/(?:src|href)=/)
  expect(page).toContain(`${report().acceptedCalls.toLocaleString("en")} calls accepted`)
})

test("what cannot be run is said in a sentence, with 2, and names no key", async () => {
  const { key } = await newDeveloper(system())
  const { url } = system()
  const wrongKey = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`
  const disabled = await newDeveloper(system())
  await system().request("PATCH", `/v1/keys/${disabled.keyId}`, {
    token: disabled.token,
    body: { enabled: false },
  })
  const file = keysFile([key])
  const settings = { url: ["--url", url], keys: ["--keys-file", file] }
  const cases: [string[], string][] = [
    [settings.keys, "--url is needed."],
    [settings.url, "--keys-file is needed."],
    [["--url", "ftp://a", ...settings.keys], "--url must begin with http:// or https://."],
    [[...settings.url, "--keys-file", join(dir, "none")], `There is no file ${join(dir, "none")}.`],
    [[...settings.url, "--keys-file", keysFile([])], "There is no key in "],
    [[...settings.url, "--keys-file", keysFile([key, wrongKey])], "Line 2 of "],
    [[...settings.url, "--keys-file", keysFile(["# mine", key, key])], "Lines 2 and 3 of "],
    [
      [...settings.url, "--keys-file", keysFile([disabled.key])],
      "The key on line 1 is answered 401 key_disabled",
    ],
    [
      [...settings.url, ...settings.keys, "--interface", "user.nothing"],
      'There is no interface "user.nothing"',
    ],
    [[...settings.url, ...settings.keys, "--rate", "0"], "--rate must be a whole number from 1 to"],
    [[...settings.url, ...settings.keys, "--connections", "x"], "--connections must be a whole"],
    [[...settings.url, ...settings.keys, "--duration", "1h"], "--duration must be a number of"],
    [[...settings.url, ...settings.keys, "--database-url", "mysql://a"], "--database-url must"],
    [[...settings.url, ...settings.keys, key], "Only options are taken."],
    [[...settings.url, ...settings.keys, "--fast"], "--fast is no option, or lacks its value."],
    [["--url", "http://127.0.0.1:9", ...settings.keys], "http://127.0.0.1:9 cannot be reached."],
  ]
  for (const [given, sentence] of cases) {
    const { code, output, errors } = await loadtest(...given)
    expect([given, errors.slice(0, sentence.length), code]).toEqual([given, sentence, 2])
    expect(output + errors).not.toContain(key)
  }
})
