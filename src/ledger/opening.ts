import { type ScriptHashes, scriptHashes } from "./scripts.ts"

/** How the ledger was last opened: what a process must know before it may send anything. */
export type Opening = {
  opening: number
  partitions: number
  /** The generation of each partition, by its number. */
  generations: readonly number[]
}

export type OpenedLedger = Opening & { scripts: ScriptHashes }

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
    if (current?.opening === opening.opening) {
      current = { ...opening, scripts: current.scripts }
    } else {
      current = { ...opening, scripts: scriptHashes(opening.opening) }
    }
    return current
  }
}

export type Openings = ReturnType<typeof createOpenings>
