import { readdirSync } from "node:fs"
import { readIfThere } from "../src/embedded/processes.ts"

/** Linux counts CPU time for `/proc` in hundredths of a second on every machine. */
const MS_PER_TICK = 10

type Entry = { parent: number; cpuMs: number }

/**
 * CPU time used so far by a process and all that descend from it, in ms: user and system, with
 * that of children which have ended. So a Postgres whose workers come and go is counted whole.
 */
export function readCpuMs(roots: readonly number[]): number {
  const processes = readProcesses()
  const isInside = (pid: number): boolean => {
    const parent = processes.get(pid)?.parent
    return roots.includes(pid) || (parent !== undefined && isInside(parent))
  }
  let sumMs = 0
  for (const [pid, { cpuMs }] of processes) if (isInside(pid)) sumMs += cpuMs
  return sumMs
}

/** This process alone: it is the generator, and the parent of all that it measures. */
export function readOwnCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** CPU time that the whole machine was busy so far, in ms. */
export function readMachineMs(): number {
  const [total = ""] = (readIfThere("/proc/stat") ?? "").split("\n")
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = total
    .replace(/^cpu +/, "")
    .split(" ")
    .map(Number)
  return (user + nice + system + irq + softIrq) * MS_PER_TICK
}

function readProcesses(): Map<number, Entry> {
  const processes = new Map<number, Entry>()
  for (const name of readdirSync("/proc")) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const stat = readIfThere(`/proc/${pid}/stat`)
    if (stat !== null) processes.set(pid, readStat(stat))
  }
  return processes
}

/** The name, in brackets, may hold spaces; after it come state, parent, and ten fields on, times. */
function readStat(stat: string): Entry {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15).map(Number)
  const ticks = user + system + childUser + childSystem
  return { parent: Number(fields[1]), cpuMs: ticks * MS_PER_TICK }
}
