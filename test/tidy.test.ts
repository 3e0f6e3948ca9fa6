import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { basename } from "node:path"

/** The rules of style that no linter knows. */

const ROOT = Bun.fileURLToPath(new URL("..", import.meta.url))
const TOP = ["bench", "db", "lua", "src", "test"]
const TOP_FILES = ["README.md", "bunfig.toml", "package-lock.json", "package.json", "tsconfig.json"]
const LINES_MAX = 300
const TEST_LINES_MAX = 400
/** Redis runs a script as one text: what belongs to one atomic step stands in one file. */
const SCRIPT_LINES_MAX = 400
const COLUMNS_MAX = 110

// Words that the glossary replaces, and that mean nothing else here.
const BANNED = /wallet|\bcents?\b|top-?up|dequeue|pre-?consume|soft-?delete|\bvoucher/i
const BANNED_NAMES = /V2|Manager|Helper|[Uu]tils?\b/
const LEFTOVERS = /\b(?:FIXME|TODO|XXX|HACK)\b/

const files = filesOfGit()
const own = files.filter((file) => /^(src|lua|db|bench|test)\//.test(file) && isText(file))
// This file must name what it forbids.
const written = own.filter((file) => file !== "test/tidy.test.ts" && !isGenerated(file))

/** What git knows, and what it would be told of next. */
function filesOfGit(): string[] {
  const words = ["ls-files", "--cached", "--others", "--exclude-standard"]
  const { stdout } = Bun.spawnSync(["git", ...words], { cwd: ROOT })
  const listed = stdout.toString().trim().split("\n")
  return [...new Set(listed)].filter((file) => existsHere(file))
}

function existsHere(file: string): boolean {
  return Bun.file(ROOT + file).size > 0
}

function isText(file: string): boolean {
  return /\.(ts|mjs|lua|sql|md)$/.test(file)
}

function isGenerated(file: string): boolean {
  return file.startsWith("db/migrations/")
}

function textOf(file: string): string {
  return readFileSync(ROOT + file, "utf8")
}

/** Each line that breaks the rule, as `file:line: text`. */
function linesWith(rule: (line: string) => boolean, among: readonly string[] = written): string[] {
  return among.flatMap((file) =>
    textOf(file)
      .split("\n")
      .flatMap((line, index) => (rule(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  )
}

describe("words", () => {
  test("the glossary's words are used, and not the ones that they replace", () => {
    expect(linesWith((line) => BANNED.test(line))).toEqual([])
    expect(files.filter((file) => BANNED.test(file))).toEqual([])
  })

  test("no file is named after nothing", () => {
    expect(files.filter((file) => BANNED_NAMES.test(basename(file)))).toEqual([])
  })

  test("nothing is left to be done", () => {
    expect(linesWith((line) => LEFTOVERS.test(line))).toEqual([])
  })

  test("nothing outside of this repository is pointed at", () => {
    expect(linesWith((line) => line.includes(["..", "shared"].join("/")))).toEqual([])
  })
})

describe("sizes", () => {
  test(`a file has up to ${LINES_MAX} lines, a test or a script up to ${TEST_LINES_MAX}`, () => {
    const limitOf = (file: string) => {
      if (file.startsWith("lua/")) return SCRIPT_LINES_MAX
      return file.startsWith("test/") ? TEST_LINES_MAX : LINES_MAX
    }
    const code = written.filter((file) => !file.endsWith(".md"))
    const long = code.filter((file) => textOf(file).trimEnd().split("\n").length > limitOf(file))
    expect(long).toEqual([])
  })

  test(`a line of code has up to ${COLUMNS_MAX} columns`, () => {
    const code = written.filter((file) => /^(src|db|lua)\/.*\.(ts|mjs|lua)$/.test(file))
    // A sentence for a person is not broken, and neither is an address.
    const isBreakable = (line: string) =>
      !/^\s*("|'|`|\/\/ https?:)|https?:\/\/|Error\(|["`],?$/.test(line)
    expect(linesWith((line) => line.length > COLUMNS_MAX && isBreakable(line), code)).toEqual([])
  })
})

describe("places", () => {
  test("the top level holds the house, and dot files", () => {
    const tops = [...new Set(files.map((file) => file.split("/")[0] ?? ""))]
    const strangers = tops.filter((name) => ![...TOP, ...TOP_FILES].includes(name))
    expect(strangers.filter((name) => !name.startsWith("."))).toEqual([])
  })

  test("the lock file names the packages of every platform", () => {
    // npm leaves out what the registry of the day did not offer, and `npm ci` then refuses to run.
    const { packages } = JSON.parse(textOf("package-lock.json"))
    const wanted = Object.entries(packages).flatMap(([path, entry]) =>
      Object.keys(Object(entry).optionalDependencies ?? {}).map((name) => ({ path, name })),
    )
    const isLocked = ({ path, name }: { path: string; name: string }) =>
      [`${path}/node_modules/${name}`, `node_modules/${name}`].some((key) => key in packages)
    const missing = wanted.filter((dependency) => !isLocked(dependency))
    expect(missing.map(({ name }) => name)).toEqual([])
  })

  test("a README has one title", () => {
    const readmes = files.filter((file) => basename(file) === "README.md")
    const titles = readmes.map((file) => [file, titlesOf(textOf(file)).length])
    expect(titles.filter(([, count]) => count !== 1)).toEqual([])
  })

  test("each script has a header, and a test that names it", () => {
    const scripts = files.filter((file) => /^lua\/.*\.lua$/.test(file))
    const tests = files
      .filter((file) => /^test\/(lua|ledger)\/.*\.ts$/.test(file))
      .map((file) => textOf(file) + file)
    expect(scripts.length).toBeGreaterThan(0)
    for (const script of scripts) {
      const name = basename(script, ".lua")
      const missing = [`-- ${name}: `, "-- KEYS ", "-- ARGV ", "-- RETURN "].filter(
        (part) => !`\n${textOf(script)}`.includes(`\n${part}`),
      )
      expect([script, ...missing]).toEqual([script])
      expect([script, tests.some((text) => text.includes(name))]).toEqual([script, true])
    }
  })
})

/** Outside of code blocks, where `#` begins a comment. */
function titlesOf(markdown: string): string[] {
  const text = markdown.replaceAll(/^```.*?^```/gms, "")
  return text.split("\n").filter((line) => line.startsWith("# "))
}
