import { parseArgs } from "node:util"

/** The parts of a run, in their order. */
export const PARTS_OF_RUN = [
  "charge",
  "pairs",
  "peers",
  "api",
  "batch",
  "latency",
  "durability",
  "oversell",
] as const
export type PartOfRun = (typeof PARTS_OF_RUN)[number]

/** What the command line of the benchmark asks for. */
export type Options = {
  only: readonly PartOfRun[]
  seconds: number
  burstSeconds: number
  rounds: number
  connections: number
  gateways: number
  accounts: number
  /** Also runs charges, forwarded calls and batches on a gateway under the CPU profiler. */
  isProfiled: boolean
  /** Writes RESULTS.md and the pictures. */
  isWritten: boolean
}

const QUICK = { seconds: "1", burst: "2", rounds: "1" }
const THOROUGH = { seconds: "4", burst: "10", rounds: "5" }

export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", default: PARTS_OF_RUN.join(",") },
      seconds: { type: "string" },
      burst: { type: "string" },
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
    only: readParts(values.only),
    seconds: positive("seconds", values.seconds ?? usual.seconds),
    burstSeconds: positive("burst", values.burst ?? usual.burst),
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
  if (options.isWritten && options.only.length < PARTS_OF_RUN.length) {
    throw new RangeError("--write keeps a whole run: leave --only away.")
  }
  return options
}

function readParts(text: string): PartOfRun[] {
  const wanted = text.split(",").map((name) => name.trim())
  const unknown = wanted.find((name) => !PARTS_OF_RUN.some((part) => part === name))
  if (unknown !== undefined) {
    throw new RangeError(`--only takes ${PARTS_OF_RUN.join(", ")}; "${unknown}" is none of them.`)
  }
  return PARTS_OF_RUN.filter((part) => wanted.includes(part))
}

function positive(name: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new RangeError(`--${name} must be a whole number above 0.`)
  return Number(text)
}
