import { readCpuMs, readMachineMs, readOwnCpuMs } from "./cpu.ts"

/** By part of what is measured, the processes whose CPU time is its own. */
export type Pids = Readonly<Record<string, readonly number[]>>

/** CPU time since a moment: of each part, of the generator, and of programs that are neither. */
export type Usage = {
  ms: number
  partMs: Readonly<Record<string, number>>
  generatorMs: number
  foreignMs: number
}

/**
 * From now on, however often it is asked. This process generates the load; a generator of its own
 * is told by the CPU time that it says it has used.
 */
export function startUsage(pids: Pids): (otherGeneratorMs?: number) => Usage {
  const before = readAll(pids)
  return (otherGeneratorMs = 0) => {
    const now = readAll(pids)
    const partMs = mapValues(now.partMs, (ms, part) => ms - (before.partMs[part] ?? 0))
    const generatorMs = now.ownMs - before.ownMs + otherGeneratorMs
    const accountedMs = generatorMs + Object.values(partMs).reduce((sum, ms) => sum + ms, 0)
    const foreignMs = Math.max(0, now.machineMs - before.machineMs - accountedMs)
    return { ms: now.at - before.at, partMs, generatorMs, foreignMs }
  }
}

export function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]))
}

function readAll(pids: Pids) {
  return {
    at: performance.now(),
    partMs: mapValues(pids, (roots) => readCpuMs(roots)),
    ownMs: readOwnCpuMs(),
    machineMs: readMachineMs(),
  }
}
