import { lineOf } from "../faults/verdict.ts"
import type { Outcome } from "./linearise.ts"
import type { Request } from "./model.ts"
import type { Fault } from "./system.ts"
import { NOTHING, type Verdict } from "./verdict.ts"

/** What a run has done, what its clients were told, and what became of that. */
export type Tally = ReturnType<typeof createTally>

export function createTally() {
  const verbs = new Map<string, number>()
  const statuses = new Map<string, number>()
  const faults = new Map<string, number>()
  const total = { ...NOTHING }
  let scenarios = 0
  return { asked, ordered, struck, judged, operations, lines, line: () => lineOf(total) }

  function asked({ verb }: Request, outcome: Outcome): void {
    raise(verbs, verb)
    if (typeof outcome === "string") raise(statuses, outcome)
    else raise(statuses, outcome.isReplay === true ? "replayed" : outcome.status)
  }

  function ordered(verb: string): void {
    raise(verbs, verb)
  }

  function struck({ fault }: Fault): void {
    raise(faults, fault)
  }

  function judged(more: Verdict): void {
    scenarios++
    for (const name of keysOf(total)) total[name] += more[name]
  }

  /** What was asked and ordered, and how often a part was struck. */
  function operations(): number {
    return [verbs, faults].flatMap((counts) => [...counts.values()]).reduce((a, b) => a + b, 0)
  }

  function lines(): string[] {
    return [
      `${operations()} operations in ${scenarios} scenarios`,
      `  asked    ${describe(verbs)}`,
      `  answered ${describe(statuses)}`,
      `  faults   ${describe(faults)}`,
      lineOf(total),
    ]
  }
}

function keysOf(verdict: Verdict): (keyof Verdict)[] {
  return Object.keys(verdict).filter((name): name is keyof Verdict => name in verdict)
}

function raise(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function describe(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a)
  return sorted.map(([name, count]) => `${name} ${count}`).join(", ")
}
