import { readCpuMs } from "./cpu.ts"
import { type Load, runLoad } from "./load.ts"
import type { Options } from "./options.ts"
import type { Scenario } from "./rounds.ts"
import type { Gateway, System } from "./system.ts"
import type { Terminal } from "./terminal.ts"

/** One side of a pair: what a call cost its gateway, and how many there were. */
export type Side = { micros: number; callsPerSecond: number }
export type Pair = { unbilled: Side; charge: Side }

/** An unbilled call is answered so much sooner that a quarter of the connections makes as many. */
const UNBILLED_CONNECTIONS_SHARE = 1 / 4
const WARM_UP_SECONDS = 2

type Two = { unbilled: Scenario; charge: Scenario }

/**
 * Unbilled calls and charges at the same time and about as many of each, on a gateway of their own;
 * the gateways change sides every round. One after the other, the unbilled calls have the machine
 * for themselves and come three times as fast, which makes each of them cheaper: that compares two
 * loads of a machine, where this compares two calls.
 */
export async function runPairs(
  { unbilled, charge }: Two,
  { system, options, terminal }: { system: System; options: Options; terminal: Terminal },
): Promise<{ pairs: Pair[]; loads: Load[] }> {
  const { connections, seconds, rounds } = options
  const gateways = [await system.startGateway(), await system.startGateway()] as const
  const loads: Load[] = []
  const pairs: Pair[] = []
  const runPair = async (sides: { unbilled: Gateway; charge: Gateway }, duration: number) => {
    const few = Math.max(1, Math.round(connections * UNBILLED_CONNECTIONS_SHARE))
    const [left, right] = await Promise.all([
      runSide(unbilled, { gateway: sides.unbilled, connections: few, seconds: duration }),
      runSide(charge, { gateway: sides.charge, connections, seconds: duration }),
    ])
    loads.push(right.load)
    return { unbilled: left.side, charge: right.side }
  }
  const [one, other] = gateways
  const turns = [
    { unbilled: one, charge: other },
    { unbilled: other, charge: one },
  ]
  for (const sides of turns) await runPair(sides, Math.min(seconds, WARM_UP_SECONDS))
  for (let n = 1; n <= rounds; n++) {
    for (const sides of turns) {
      const pair = await runPair(sides, Math.max(1, seconds / 2))
      pairs.push(pair)
      terminal.say(`${n}/${rounds} side by side  ${describePair(pair)}`)
    }
  }
  for (const gateway of gateways) await gateway.stop()
  return { pairs, loads }
}

async function runSide(
  { name, path, accounts }: Scenario,
  options: { gateway: Gateway; connections: number; seconds: number },
): Promise<{ side: Side; load: Load }> {
  const { gateway, connections, seconds } = options
  const cpuMs = readCpuMs([gateway.pid])
  const progress = { calls: 0, refused: 0, lost: 0 }
  const urls = [gateway.url]
  const done = await runLoad({ urls, path, accounts, connections, until: { seconds }, progress })
  if (done.lost > 0) throw new Error(`${name}: ${done.lost} calls had no answer`)
  const micros = ((readCpuMs([gateway.pid]) - cpuMs) * 1_000) / done.calls
  return { side: { micros, callsPerSecond: done.callsPerSecond }, load: done }
}

function describePair({ unbilled, charge }: Pair): string {
  const describe = ({ micros, callsPerSecond }: Side) =>
    `${micros.toFixed(1)} µs at ${Math.round(callsPerSecond)} calls/s`
  return `unbilled ${describe(unbilled)}  charge ${describe(charge)}`
}
