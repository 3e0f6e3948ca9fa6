import { expect, test } from "bun:test"
import { explore, seedOf } from "./explore.ts"

const SEED = seedOf()
/** `npm run test:long` is a million. */
const OPERATIONS = 20_000
/** Far above what it takes: time to make a scenario smaller that fails. */
const TRY_MS = 600_000

test(
  `two gateways do what the model does, whatever they are asked and whatever dies (SEED=${SEED})`,
  async () => {
    const shape = { steps: 12, operations: 250, faultsOneIn: 5 }
    const tally = await explore({ operations: OPERATIONS, seed: SEED, shape })
    console.log([`SEED=${SEED}`, ...tally.lines()].join("\n"))
    expect(tally.operations()).toBeGreaterThanOrEqual(OPERATIONS)
    expect(tally.line()).toMatch(CLEAN)
  },
  TRY_MS,
)

const CLEAN =
  /^lost=0 duplicated=0 phantom=0 refused_charged=0 overdraft=0 unknown=(\d+) resolved=\1 detected_loss=actual_loss=0$/
