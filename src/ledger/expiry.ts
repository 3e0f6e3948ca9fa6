import { parseAccountId } from "../ids.ts"
import { EXPIRIES_PER_SWEEP_MAX } from "../limits.ts"
import type { Pressure } from "./attempts.ts"
import { createBatcher } from "./batcher.ts"
import type { RedisNodes } from "./cluster.ts"
import { holdsKey, keyPrefix } from "./keys.ts"
import { readMeta } from "./meta.ts"
import { type Openings, ofPartition } from "./opening.ts"
import type { Past } from "./over.ts"
import type { RevokeFile } from "./revokes.ts"
import { decodeHoldKeys } from "./states.ts"

type Deps = {
  redis: RedisNodes
  openings: Openings
  past: Past
  partition: number
  log(message: string): void
}

/**
 * Voids the holds whose time is over, so that a gateway that died keeps nobody's money. It sends
 * them through a slot of its own, as gateways send theirs; the script compares the time again.
 */
export function createExpirer({ redis, openings, past, partition, log }: Deps) {
  const batcher = createBatcher({
    ...{ redis, openings, partition, log },
    // A void that was not answered is found again by the next sweep.
    revokeFile: NO_FILE,
    ...{ past, pressure: NO_PRESSURE },
    onBatch: () => undefined,
  })
  return { sweep, stop: batcher.stop }

  /** Voids what is due by `nowMs`, Redis's own time; answers how many holds it voided. */
  async function sweep(nowMs: number): Promise<number> {
    const opened = openings.current()
    if (opened === null || batcher.state() !== "open") return 0
    const generation = ofPartition(opened.generations, partition)
    // Where nothing is due nothing is sent, and nobody would tell that the generation has ended.
    if ((await readMeta(redis, partition))?.generation !== generation) {
      batcher.renew()
      return 0
    }
    const due = await redis
      .of(partition)
      .zrangebyscore(
        holdsKey(partition, generation),
        ...(["-inf", nowMs, "LIMIT", 0, EXPIRIES_PER_SWEEP_MAX] as const),
      )
    if (due.length === 0) return 0
    const prefix = `${keyPrefix(partition, generation)}h:`
    const states = await redis.of(partition).mgetBuffer(...due.map((name) => prefix + name))
    const voiding = due.flatMap((name, i) => {
      const state = states[i]
      if (!state) return []
      const accountId = parseAccountId(`acct_${name.slice(0, 16)}`)
      const hold = { accountId, name, generation, ...decodeHoldKeys(state) }
      return [batcher.voidHold(hold, { isExpiry: true, idempotency: null })]
    })
    return (await Promise.all(voiding)).filter(({ status }) => status === "voided").length
  }
}

const NO_FILE: RevokeFile = {
  open: () => Promise.resolve(),
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

/** Voids are not refused, and wait for no replica: one that was lost is found again. */
const NO_PRESSURE: Pressure = { wait: { replicas: 0, timeoutMs: 0 }, isMemoryShort: () => false }
