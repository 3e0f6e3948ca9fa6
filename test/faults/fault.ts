import type { Chance } from "./chance.ts"
import type { Load } from "./load.ts"
import type { Evidence } from "./loss.ts"
import type { Site } from "./site.ts"

/** What can go wrong, as data: how it is broken, and how it is healed. */
export type Fault = {
  /** As the table names it. */
  name: string
  /** Why it cannot be tried on this machine; null: it can. */
  impossible?(site: Site): string | null
  /** Breaks it, under load. Answers how it is healed. */
  strike(at: Scene): Promise<Heal>
  /** How long it stays broken, in ms, at least and at most. */
  outageMs?: readonly [number, number]
  /** The same in the long form, where that is longer. */
  longOutageMs?: readonly [number, number]
  /** It takes minutes, and is tried less often in the long form. */
  isSlow?: true
  /** Its short form would be another fault's. */
  isLongOnly?: true
  /** It has so many ways, one after the other: the long form tries each. */
  ways?: number
  /** What Redis had answered may be gone with it; then it must be told, to the record. */
  mayLose?: true
  /** A gateway that is frozen answers nobody in time. */
  freezesGateways?: true
  /** Beside charges: whether what was broken is whole again. */
  isBack?(at: Scene): Promise<boolean>
  /** More that must be so in the end: one sentence for each thing that is not. */
  check?(at: Scene): Promise<string[]>
}

/** Resolves when what was broken is there again. */
export type Heal = () => Promise<unknown>

export type Scene = {
  site: Site
  chance: Chance
  load: Load
  /** What a Redis had, from where it may have lost it. */
  evidence: Evidence[]
  /** For a line in the report. */
  note(sentence: string): void
  isLong: boolean
}
