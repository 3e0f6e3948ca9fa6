import { type ScriptHashes, scriptHashes } from "./scripts.ts"

/** How the ledger was last opened: what a process must know before it may send anything. */
export type Opening = {
  partitions: number
  /** The generation of each partition, by its number. */
  generations: readonly number[]
  /** The number in the text of the scripts that its node runs; 0: none. */
  openings: readonly number[]
}

/** `scripts` are by partition too: each node has those of its own opening. */
export type OpenedLedger = Opening & { scripts: readonly ScriptHashes[] }

/**
 * The one copy of the opening in a process. Whoever is told that a script or a generation is not
 * there asks for a reload; concurrent reloads are one query.
 */
export function createOpenings(readOpening: () => Promise<Opening>) {
  let current: OpenedLedger | null = null
  let loading: Promise<OpenedLedger> | null = null
  return { current: () => current, reload }

  function reload(): Promise<OpenedLedger> {
    loading ??= load().finally(() => {
      loading = null
    })
    return loading
  }

  async function load(): Promise<OpenedLedger> {
    const opening = await readOpening()
    current = { ...opening, scripts: opening.openings.map(scriptHashes) }
    return current
  }
}

export type Openings = ReturnType<typeof createOpenings>

/** What stands for one partition in a list of all. */
export function ofPartition<Value>(values: readonly Value[], partition: number): Value {
  const value = values[partition]
  if (value === undefined) throw new Error(`broken invariant: no partition ${partition}`)
  return value
}
