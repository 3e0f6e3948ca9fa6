import { parseArgs } from "node:util"
import { explore, seedOf } from "./explore.ts"

/** `npm run test:long -- [--operations N]`: ends with 1 where the model cannot explain what was done. */

const { values: options } = parseArgs({
  options: { operations: { type: "string", default: "1000000" } },
})
const operations = Number(options.operations)
const seed = seedOf()
const begunAt = performance.now()
/** Between two lines that say how far it is. */
const PROGRESS_MS = 15_000
let toldAt = begunAt

console.log(`SEED=${seed}`)
try {
  const shape = { steps: 20, operations: 400, faultsOneIn: 5 }
  const tally = await explore({
    ...{ operations, seed, shape },
    onProgress(so) {
      if (performance.now() - toldAt < PROGRESS_MS) return
      toldAt = performance.now()
      const seconds = Math.round((toldAt - begunAt) / 1000)
      console.log(`${so.operations()} of ${operations} operations in ${seconds} s: ${so.line()}`)
    },
  })
  console.log([`SEED=${seed}`, ...tally.lines()].join("\n"))
} catch (error) {
  console.log(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
process.exit()
