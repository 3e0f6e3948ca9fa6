import { parseArgs } from "node:util"
import { FAULTS } from "./catalogue/index.ts"
import type { NamedTest, PlantedFault } from "./fault.ts"
import { runTests, tryFault, type Verdict } from "./judge.ts"
import { copyTree } from "./tree.ts"

/**
 * `npm run test:planted -- [--only words]`: plants each fault in a copy of the tree, and runs the test
 * that must catch it, which must be green without it. Ends with 1 where one is missed.
 */

/** Real servers, on two cores. */
const AT_ONCE = 2

const { values: options } = parseArgs({ options: { only: { type: "string", default: "" } } })
const faults = FAULTS.filter(({ name }) => name.includes(options.only))
/** What is planted into: whoever edits the working tree meanwhile changes nothing. */
const tree = copyTree()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130))
const red = await testsThatAreRed(faults.map(({ caughtBy }) => caughtBy))
for (const [test, why] of red) console.log(`RED without a fault: ${test}\n        ${why}`)

let caught = 0
await eachOf(faults, async (fault) => {
  const startedAt = performance.now()
  const { isCaught, why } = await judge(fault)
  if (isCaught) caught++
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1).padStart(5)
  const { file, test } = fault.caughtBy
  console.log(`${isCaught ? "caught" : "MISSED"} ${seconds} s  ${fault.name}`)
  console.log(`        ${file}: ${test}`)
  if (!isCaught) console.log(`        ${why}`)
})
console.log(`${faults.length} faults planted, ${caught} caught, ${faults.length - caught} missed`)
process.exit(caught === faults.length && caught > 0 ? 0 : 1)

async function judge(fault: PlantedFault): Promise<Verdict> {
  const why = red.get(nameOf(fault.caughtBy))
  if (why !== undefined) return { isCaught: false, why: `red without the fault: ${why}` }
  try {
    return await tryFault(fault, tree.dir)
  } catch (error) {
    return { isCaught: false, why: String(error) }
  }
}

/** Of each of them why; a test that is red by itself catches nothing. */
async function testsThatAreRed(tests: readonly NamedTest[]): Promise<Map<string, string>> {
  const red = new Map<string, string>()
  const files = [...Map.groupBy(tests, ({ file }) => file).values()]
  await eachOf(files, async (named) => {
    const endings = await runTests(tree, named)
    for (const [i, { status, why }] of endings.entries()) {
      const test = named[i]
      if (status !== "passed" && test !== undefined) red.set(nameOf(test), `${status}: ${why}`)
    }
  })
  console.log(`${files.length} files of tests, ${red.size} of the named tests red without a fault`)
  return red
}

function nameOf({ file, test }: NamedTest): string {
  return `${file}: ${test}`
}

async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = [...items]
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
