import { parseArgs } from "node:util"

/** What the command line of the benchmark asks for. */
export type Options = {
  seconds: number
  rounds: number
  connections: number
  gateways: number
  accounts: number
  /** Also runs one round of charges on a gateway under the CPU profiler. */
  isProfiled: boolean
  /** Writes RESULTS.md. */
  isWritten: boolean
}

const QUICK = { seconds: "2", rounds: "1" }
const THOROUGH = { seconds: "8", rounds: "3" }

export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string" },
      rounds: { type: "string" },
      connections: { type: "string", default: "64" },
      gateways: { type: "string", default: "1" },
      accounts: { type: "string", default: "1000" },
      quick: { type: "boolean", default: false },
      profile: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
  })
  const usual = values.quick ? QUICK : THOROUGH
  const options = {
    seconds: positive("seconds", values.seconds ?? usual.seconds),
    rounds: positive("rounds", values.rounds ?? usual.rounds),
    connections: positive("connections", values.connections),
    gateways: positive("gateways", values.gateways),
    accounts: positive("accounts", values.accounts),
    isProfiled: values.profile,
    isWritten: values.write,
  }
  if (options.accounts < options.connections) {
    throw new RangeError("--accounts must not be lower than --connections: each has its own.")
  }
  return options
}

function positive(name: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new RangeError(`--${name} must be a whole number above 0.`)
  return Number(text)
}
