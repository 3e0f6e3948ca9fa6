import { readFileSync } from "node:fs"
import { join } from "node:path"
import luaparse from "luaparse"
import { type NamedTest, type PlantedFault, plant } from "./fault.ts"
import { copyTree, ROOT, type Tree } from "./tree.ts"

/**
 * CAUGHT  the named test ran, and one of its assertions failed.
 * MISSED  it passed; or it never came to an assertion, because the faulty tree cannot be loaded or the
 *         test threw or hung. That would be red for the wrong cause.
 */
export type Verdict = { isCaught: boolean; why: string }

/** How a test ended: `failed` by an assertion, `broken` by anything else. */
export type Ending = { status: "passed" | "failed" | "broken" | "absent"; why: string }

/** Alone, a test starts its servers in its own time; and many a fault shows in what never comes. */
const TIMEOUT_MS = 120_000
let reports = 0

/** Plants the fault in a copy of its own of the tree in `from`. Throws where it finds no place there. */
export async function tryFault(fault: PlantedFault, from: string = ROOT): Promise<Verdict> {
  const tree = copyTree(from)
  try {
    plant(fault, tree)
    for (const { file } of fault.edits) {
      const flaw = await findFlaw(tree, file)
      if (flaw !== null) return { isCaught: false, why: `${file} cannot be loaded: ${flaw}` }
    }
    const [ending] = await runTests(tree, [fault.caughtBy])
    if (ending === undefined) throw new RangeError("no test was run")
    return { isCaught: ending.status === "failed", why: `${ending.status}: ${ending.why}` }
  } finally {
    tree.remove()
  }
}

/** Runs tests of one file, and tells of each how it ended. */
export async function runTests(tree: Tree, tests: readonly NamedTest[]): Promise<Ending[]> {
  const [first] = tests
  if (first === undefined) return []
  const report = join(tree.dir, `report-${++reports}.xml`)
  const text = tree.read(first.file)
  tree.write(first.file, text.replace(/(setDefaultTimeout)\(\w+\)/, `$1(${TIMEOUT_MS})`))
  const names = tests.map(({ test }) => RegExp.escape(test)).join("|")
  const child = Bun.spawn(
    [
      ...[process.execPath, "test", `./${first.file}`, "-t", `^(?:${names})$`],
      ...[`--timeout=${TIMEOUT_MS}`, "--reporter=junit", `--reporter-outfile=${report}`],
    ],
    { cwd: tree.dir, stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  )
  const output = await child.stderr.text()
  await child.exited
  const endings = (await Bun.file(report).exists())
    ? readReport(readFileSync(report, "utf8"))
    : null
  return tests.map(({ test }) => endings?.get(test) ?? { status: "absent", why: lastLines(output) })
}

/** By whole name, as the tests' file has them; what was filtered out is not in it. */
function readReport(xml: string): Map<string, Ending> {
  const cases = xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)
  return new Map(
    [...cases].map(([, attributes = "", body = ""]) => {
      const groups = attributeOf(attributes, "classname").split(" > ").toReversed()
      const name = [...groups, attributeOf(attributes, "name")].filter((part) => part !== "")
      return [name.join(" "), endingOf(body)]
    }),
  )
}

function endingOf(body: string): Ending {
  if (body.includes("<skipped")) return { status: "absent", why: "it was left out" }
  const [failure] = /<failure [^>]*>/.exec(body) ?? []
  if (failure === undefined) return { status: "passed", why: "nothing was noticed" }
  const isAssertion = attributeOf(failure, "type") === "AssertionError"
  const why = attributeOf(failure, "message").replaceAll(/\s+/g, " ").trim()
  return { status: isAssertion ? "failed" : "broken", why }
}

function attributeOf(text: string, name: string): string {
  const [, value = ""] = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(text) ?? []
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" }
  return value.replaceAll(/&(?:#(\d+)|(\w+));/g, (_, code, entity) =>
    code === undefined ? (entities[entity] ?? "") : String.fromCodePoint(Number(code)),
  )
}

/** What keeps the file from being loaded; null: nothing. Imports are followed, also those of names. */
async function findFlaw(tree: Tree, file: string): Promise<string | null> {
  if (file.endsWith(".lua")) return luaFlaw(tree.read(file))
  // What Postgres cannot read makes the test throw.
  if (file.endsWith(".sql")) return null
  const child = Bun.spawn(
    [process.execPath, "build", `./${file}`, "--target=bun", "--packages=external"],
    { cwd: tree.dir, stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  )
  const output = await child.stderr.text()
  return (await child.exited) === 0 ? null : lastLines(output)
}

function luaFlaw(text: string): string | null {
  try {
    luaparse.parse(text.replace(/^#!.*/, ""), { luaVersion: "5.1" })
    return null
  } catch (error) {
    return String(error)
  }
}

function lastLines(output: string): string {
  return output.trim().split("\n").slice(-3).join(" ").replaceAll(/\s+/g, " ")
}
