import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { medianOf } from "./report.ts"
import type { Site } from "./site.ts"

/** What the processes of a site take of their machine, looked at again and again. */
export type Gauge = {
  /** What each part took at first and at last, and what of it has grown. */
  report(): { lines: string[]; findings: string[] }
  stop(): void
}

type Look = { megabytes: number; handles: number }

const EVERY_MS = 2_000
/** The garbage of a runtime comes and goes: what leaks at this load is far more in half an hour. */
const [GROWTH_SHARE_MAX, GROWTH_MEGABYTES_MAX, GROWTH_HANDLES_MAX] = [0.25, 40, 25]

export function startGauge(site: Site): Gauge {
  const looks = new Map<string, Look[]>()
  const timer = setInterval(lookAtAll, EVERY_MS)
  return { report, stop: () => clearInterval(timer) }

  function lookAtAll(): void {
    for (const { name, pids } of [...site.roles, site.redis(), site.postgres]) {
      const seen = pids().flatMap((pid) => lookAt(pid) ?? [])
      const [first] = seen
      if (first === undefined) continue
      const handles = seen.reduce((sum, look) => sum + look.handles, 0)
      // Of Postgres, the processes share nearly all that each of them seems to have.
      looks.set(name, [...(looks.get(name) ?? []), { megabytes: first.megabytes, handles }])
    }
  }

  function report(): { lines: string[]; findings: string[] } {
    const lines: string[] = []
    const findings: string[] = []
    for (const [name, seen] of looks) {
      const third = Math.ceil(seen.length / 3)
      const [first, last] = [middleOf(seen.slice(0, third)), middleOf(seen.slice(-third))]
      lines.push(
        `${name}: ${first.megabytes} MB and ${first.handles} handles at first, ${last.megabytes} MB and ${last.handles} at last`,
      )
      const grown = last.megabytes - first.megabytes
      const isFlat = grown < Math.max(GROWTH_MEGABYTES_MAX, first.megabytes * GROWTH_SHARE_MAX)
      // Redis keeps results and resolved holds for a day, and they become more in every run.
      if (!isFlat && name !== "Redis")
        findings.push(`the memory of ${name} has grown by ${grown} MB`)
      const more = last.handles - first.handles
      if (more > GROWTH_HANDLES_MAX) findings.push(`${name} has ${more} handles more than at first`)
    }
    return { lines, findings }
  }
}

function middleOf(looks: readonly Look[]): Look {
  return {
    megabytes: medianOf(looks.map(({ megabytes }) => megabytes)),
    handles: medianOf(looks.map(({ handles }) => handles)),
  }
}

/** Each server process of Postgres keeps those open that it has read, up to a bound of its own. */
const TABLE_FILE = /\/(base|global|pg_wal|pg_xact)\//

/** One that has been closed since is none. */
function isCounted(pid: number, fd: string): boolean {
  try {
    return !TABLE_FILE.test(readlinkSync(`/proc/${pid}/fd/${fd}`))
  } catch {
    return false
  }
}

/** Null where it has ended. */
function lookAt(pid: number): Look | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8")
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    const handles = readdirSync(`/proc/${pid}/fd`).filter((fd) => isCounted(pid, fd)).length
    return { megabytes: Math.round(kilobytes / 1_024), handles }
  } catch {
    return null
  }
}
