import type { Disk } from "./disk.ts"
import type { PostgresHost } from "./postgres/host.ts"
import type { Random } from "./random.ts"
import type { RedisHost } from "./redis/host.ts"
import type { Scheduler } from "./scheduler.ts"

/** What is there of the world that runs: where the stand-ins of clients find their servers. */
export type Stage = {
  scheduler: Scheduler
  redis: RedisHost
  postgres: PostgresHost
  disk: Disk
  /** For what the parts draw by themselves: ids, and how long they wait before they connect again. */
  random: Random
  /** The clock of the machine, in ms since 1970: it may be set. */
  wallMs(): number
}

let current: Stage | null = null

export function onStage(): Stage {
  if (current === null) throw new Error("there is no world")
  return current
}

export function setStage(stage: Stage): void {
  current = stage
}
