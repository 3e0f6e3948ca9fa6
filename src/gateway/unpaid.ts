import { UNPAID_COUNTS_MAX, UNPAID_WRITE_MS } from "../limits.ts"
import { messageOf, startTicker } from "../ticker.ts"

/** Calls that cost nothing, of one account, key, interface and hour. */
export type UnpaidCount = {
  accountId: string
  keyId: string
  interface: string
  /** The beginning of the hour. */
  hourMs: number
  refused: number
  failed: number
}

type Call = { payer: { accountId: string; keyId: string }; interface: string }

/** Counts the calls that cost nothing; a paid call never comes here. */
export type Unpaid = {
  refused(call: Call): void
  failed(call: Call): void
  /** Writes what is counted, if that can be. */
  stop(): Promise<void>
}

const HOUR_MS = 3_600_000

/**
 * Keeps the counts in memory, and hands them to Postgres every few seconds. What could not be
 * written is kept for the next time; past UNPAID_COUNTS_MAX kinds of calls no further kind is
 * counted, because a Postgres that is away must not fill the memory of a gateway.
 */
export function createUnpaid({
  addUnpaid,
  log,
}: {
  addUnpaid(counts: readonly UnpaidCount[]): Promise<void>
  log(message: string): void
}): Unpaid {
  let counts = new Map<string, UnpaidCount>()
  let isFull = false
  const ticker = startTicker({ intervalMs: UNPAID_WRITE_MS, work: write, onError })
  return {
    refused: (call) => add(at(call), { refused: 1, failed: 0 }),
    failed: (call) => add(at(call), { refused: 0, failed: 1 }),
    stop,
  }

  function add(
    kind: Omit<UnpaidCount, "refused" | "failed">,
    { refused, failed }: Pick<UnpaidCount, "refused" | "failed">,
  ): void {
    const name = `${kind.accountId} ${kind.keyId} ${kind.hourMs} ${kind.interface}`
    const known = counts.get(name)
    if (known !== undefined) {
      known.refused += refused
      known.failed += failed
    } else if (counts.size < UNPAID_COUNTS_MAX) {
      counts.set(name, { ...kind, refused, failed })
    } else if (!isFull) {
      isFull = true
      log(`calls that cost nothing are not counted any more: ${UNPAID_COUNTS_MAX} kinds wait`)
    }
  }

  async function write(): Promise<void> {
    if (counts.size === 0) return
    const written = counts
    counts = new Map()
    isFull = false
    try {
      await addUnpaid([...written.values()])
    } catch (error) {
      for (const count of written.values()) add(count, count)
      throw error
    }
  }

  function onError(error: unknown): void {
    log(`calls that cost nothing could not be written yet: ${messageOf(error)}`)
  }

  async function stop(): Promise<void> {
    await ticker.stop()
    await write().catch(onError)
  }
}

function at({ payer: { accountId, keyId }, interface: name }: Call) {
  const nowMs = Date.now()
  return { accountId, keyId, interface: name, hourMs: nowMs - (nowMs % HOUR_MS) }
}
