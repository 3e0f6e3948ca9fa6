import { type Load, type Progress, runLoad } from "./load.ts"
import type { Account } from "./seed.ts"
import { mapValues, type Pids, startUsage } from "./usage.ts"

/** Something that answers calls, and the processes that it takes. */
export type Contender = {
  name: string
  url: string
  path: string
  method?: "GET" | "POST"
  accounts: readonly Account[]
  pids(): Pids
  /** Resolves when nothing of the load is left to be done behind its answers. */
  settled?(): Promise<unknown>
  /** Called before a load; answers what is done after it, outside of what is measured. */
  begin?(): (() => Promise<unknown>) | Promise<() => Promise<unknown>>
}

export type Measured = {
  callsPerSecond: number
  /** CPU per call, by part. */
  micros: Readonly<Record<string, number>>
  /** Of one core, what ran meanwhile and is no part of this. */
  foreignShare: number
  load: Load
}

/** Some answers of 503 on a busy machine are no failure of a run; many are another scenario. */
const REFUSED_SHARE_MAX = 0.05

/** One closed loop on one contender, with what it costs until all of its work is done. */
export async function measure(
  contender: Contender,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Measured> {
  const { name, url, path, method = "POST", accounts } = contender
  const end = await contender.begin?.()
  const usage = startUsage(contender.pids())
  const progress: Progress = { calls: 0, refused: 0, lost: 0 }
  const load = await runLoad({
    ...{ urls: [url], path, method, accounts, connections, progress },
    until: { seconds },
  })
  await contender.settled?.()
  const { ms, partMs, foreignMs } = usage()
  await end?.()
  requireAnswers(name, load)
  return {
    callsPerSecond: load.callsPerSecond,
    micros: mapValues(partMs, (cpuMs) => (cpuMs * 1_000) / load.calls),
    foreignShare: foreignMs / ms,
    load,
  }
}

function requireAnswers(name: string, { calls, statuses, lost }: Load): void {
  if (lost > 0) throw new Error(`${name}: ${lost} calls had no answer`)
  const refused = calls - (statuses.get(200) ?? 0)
  if (refused > calls * REFUSED_SHARE_MAX) {
    const counts = [...statuses].map(([status, count]) => `${count} times ${status}`)
    throw new Error(`${name}: ${refused} of ${calls} calls were refused: ${counts.join(", ")}`)
  }
}

/**
 * Measures the contenders in turn, several times, so that a machine that is slower for a while is
 * slower for all of them, and each of their rounds has those of the others beside it.
 */
export async function measureInTurn<Name extends string>(
  contenders: readonly (Contender & { name: Name })[],
  options: {
    connections: number
    seconds: number
    rounds: number
    warmUpSeconds: number
    onRound(name: Name, round: number, measured: Measured): void
  },
): Promise<Map<Name, Measured[]>> {
  const { rounds, warmUpSeconds, onRound } = options
  const all = new Map<Name, Measured[]>()
  for (let round = 0; round <= rounds; round++) {
    // The first one compiles the code that is measured afterwards.
    const seconds = round === 0 ? warmUpSeconds : options.seconds
    for (const contender of contenders) {
      const measured = await measure(contender, { ...options, seconds })
      onRound(contender.name, round, measured)
      if (round > 0) all.set(contender.name, [...(all.get(contender.name) ?? []), measured])
    }
  }
  return all
}
