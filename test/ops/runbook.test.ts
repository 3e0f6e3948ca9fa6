import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"

/** The runbook has an entry for everything that an operator can be told, and for nothing else. */

const ROOT = Bun.fileURLToPath(new URL("../../", import.meta.url))
const runbook = readFileSync(`${ROOT}src/ops/README.md`, "utf8")

/** What differs from time to time, as `…`. */
function withoutValues(template: string): string {
  return template.replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "…")
}

function sourcesOf(pattern: string): string[] {
  const files = [...new Bun.Glob(pattern).scanSync({ cwd: ROOT })]
  return files.map((file) => readFileSync(ROOT + file, "utf8"))
}

function foundIn(sources: readonly string[], pattern: RegExp): string[] {
  const texts = sources.flatMap((source) =>
    [...source.matchAll(pattern)].map(([, text = ""]) => text),
  )
  return [...new Set(texts.map(withoutValues))].toSorted()
}

test("each ALARM line of the code has its entry, and each entry its line", () => {
  const alarms = foundIn(sourcesOf("src/**/*.ts"), /[`"](ALARM [^`"]*)[`"]/g)
  const entries = [...runbook.matchAll(/^### `(ALARM .*)`$/gm)].map(([, entry = ""]) => entry)
  expect(alarms.length).toBeGreaterThan(10)
  expect(entries.toSorted()).toEqual(alarms)
})

test("each reason of /readyz has its row, and each row its reason", () => {
  const sources = [
    ...sourcesOf("src/ledger/health.ts"),
    ...sourcesOf("src/operations/readiness.ts"),
  ]
  const reasons = foundIn(sources, /reasons(?:\.push\(|: \[)\s*[`"]([^`"]+)[`"]/g)
  const rows = /^## `\/readyz` says 503$([^]*?)^## /m.exec(runbook)?.[1] ?? ""
  const named = [...rows.matchAll(/^\| `([^`]+)` \|/gm)].map(([, reason = ""]) => reason)
  expect(reasons.length).toBeGreaterThan(4)
  expect(named.toSorted()).toEqual(reasons)
})

test("each command that it names is one, with options that it takes", async () => {
  const { ops } = await import("./ops.ts")
  const commands = [
    ...runbook.matchAll(/\bops(?: --)? ([a-z][a-z-]*)((?: (?:--[a-z-]+|N|DIR|<\w+>))*)/g),
  ]
  expect(commands.length).toBeGreaterThan(20)
  for (const [text, name = "", words = ""] of commands) {
    const { out } = await ops({}, name, "--help")
    expect([text, out.startsWith(`npm run ops -- ${name}`)]).toEqual([text, true])
    for (const [option] of words.matchAll(/--[a-z-]+/g))
      expect([text, out]).toEqual([text, expect.stringContaining(option)])
  }
})
