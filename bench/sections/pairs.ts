import { noteAccepted } from "../books.ts"
import { readCpuMs } from "../cpu.ts"
import { type Load, runLoad } from "../load.ts"
import type { Bench, Section } from "../section.ts"
import type { Gateway } from "../system.ts"
import { table, whole } from "../table.ts"
import { atMost, median } from "../target.ts"

/** One side of a pair: what a call cost its gateway, and how many there were. */
type Side = { micros: number; callsPerSecond: number }
type Pair = { unbilled: Side; charge: Side }
type Sides = { unbilled: Gateway; charge: Gateway }

/** An unbilled call is answered so much sooner that a quarter of the connections makes as many. */
const UNBILLED_CONNECTIONS_SHARE = 1 / 4
const WARM_UP_SECONDS = 2
const GATEWAY_RATIO_MAX = 1.2

/**
 * Unbilled calls and charges at the same time and about as many of each, on a gateway of their own;
 * the gateways change sides every round. One after the other, the unbilled calls have the machine
 * for themselves and come three times as fast, which makes each of them cheaper: that compares two
 * loads of a machine, where this compares two calls.
 */
export async function runPairs(bench: Bench): Promise<Section> {
  const { system, options, terminal } = bench
  const { seconds, rounds } = options
  const gateways = [await system.startGateway(), await system.startGateway()] as const
  const [one, other] = gateways
  const turns = [
    { unbilled: one, charge: other },
    { unbilled: other, charge: one },
  ]
  const pairs: Pair[] = []
  for (const sides of turns) await runPair(bench, sides, Math.min(seconds, WARM_UP_SECONDS))
  for (let n = 1; n <= rounds; n++) {
    for (const sides of turns) {
      const pair = await runPair(bench, sides, Math.max(1, seconds / 2))
      pairs.push(pair)
      terminal.say(`${n}/${rounds} side by side  ${describePair(pair)}`)
    }
  }
  for (const gateway of gateways) await gateway.stop()
  return describe(pairs)
}

async function runPair(bench: Bench, sides: Sides, seconds: number): Promise<Pair> {
  const { connections } = bench.options
  const few = Math.max(1, Math.round(connections * UNBILLED_CONNECTIONS_SHARE))
  const [unbilled, charge] = await Promise.all([
    runSide(bench, { ...sides.unbilled, path: "/bench/unbilled", connections: few, seconds }),
    runSide(bench, { ...sides.charge, path: "/v1/charges", connections, seconds }),
  ])
  noteAccepted(bench.proof, charge.load.accepted)
  return { unbilled, charge }
}

async function runSide(
  { accounts }: Bench,
  side: { url: string; pid: number; path: string; connections: number; seconds: number },
): Promise<Side & { load: Load }> {
  const { url, pid, path, connections, seconds } = side
  const cpuMs = readCpuMs([pid])
  const progress = { calls: 0, refused: 0, lost: 0 }
  const until = { seconds }
  const load = await runLoad({ urls: [url], path, accounts, connections, until, progress })
  if (load.lost > 0) throw new Error(`${path}: ${load.lost} calls had no answer`)
  const micros = ((readCpuMs([pid]) - cpuMs) * 1_000) / load.calls
  return { micros, callsPerSecond: load.callsPerSecond, load }
}

function describePair({ unbilled, charge }: Pair): string {
  const describe = ({ micros, callsPerSecond }: Side) =>
    `${micros.toFixed(1)} µs at ${Math.round(callsPerSecond)} calls/s`
  return `unbilled ${describe(unbilled)}  charge ${describe(charge)}`
}

function describe(pairs: readonly Pair[]): Section {
  const middle = (side: keyof Pair, figure: keyof Side) =>
    median(pairs.map((pair) => pair[side][figure]))
  const ratios = pairs.map(({ unbilled, charge }) => charge.micros / unbilled.micros)
  return {
    title: "Unbilled calls and charges, side by side",
    lines: table(
      ["", "unbilled", "charge"],
      [
        [
          "calls/s",
          whole(middle("unbilled", "callsPerSecond")),
          whole(middle("charge", "callsPerSecond")),
        ],
        [
          "CPU µs/call: gateway",
          middle("unbilled", "micros").toFixed(1),
          middle("charge", "micros").toFixed(1),
        ],
      ],
    ),
    targets: [atMost("gateway CPU, charge / unbilled, side by side", ratios, GATEWAY_RATIO_MAX)],
  }
}
