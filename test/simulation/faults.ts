import { describeFault, type Fault, type FaultKind, LOSS_KINDS } from "./plan.ts"
import type { Keyspace } from "./redis/commands.ts"
import type { World } from "./world.ts"

/** Makes the plan's faults happen, each at its moment, counted from now. */
export function planFaults(world: World): void {
  for (const fault of world.plan.faults) {
    world.scheduler.after(
      fault.atMs,
      () => {
        if (!world.isStormy()) return
        world.note(`FAULT ${describeFault(fault)}`)
        FAULTS[fault.kind](world, fault)
      },
      null,
    )
  }
}

export function losesData(faults: readonly Fault[]): boolean {
  return faults.some(({ kind }) => LOSS_KINDS.has(kind))
}

/** What ran on a node that went back, and is lost in its turn, stands under the numbers of what was lost first. */
export function losesOnce(faults: readonly Fault[]): boolean {
  const losses = faults.filter(({ kind }) => LOSS_KINDS.has(kind))
  return losses.length <= 1 && losses.every(({ kind }) => kind !== "redis_twice_promoted")
}

/** Everything is right again: servers run, clocks agree, and the weather is calm. */
export function heal(world: World): void {
  const { redis, postgres, clocks } = world
  world.note("everything heals")
  world.setStormy(false)
  redis.refuse(null)
  redis.server.setFull(false)
  if (!redis.isUp()) redis.start({ loadingMs: 0 })
  postgres.start()
  Object.assign(clocks, { redis: 0, postgres: 0, machine: 0 })
}

type Cause = (world: World, fault: Fault) => void

const pick = <Item>(items: readonly Item[], { size }: Fault): Item => {
  const item = items[size % items.length]
  if (item === undefined) throw new Error("there is none")
  return item
}

/** Unless everything has healed by then. */
function later(world: World, delayMs: number, work: () => void): void {
  const unlessHealed = () => {
    if (world.isStormy()) work()
  }
  world.scheduler.after(delayMs, unlessHealed, null)
}

/** Redis dies, and comes back with what `change` makes of its data. */
function restartRedis(world: World, forMs: number, change: () => void): void {
  const { redis } = world
  if (!redis.isUp()) return
  redis.crash()
  later(world, forMs, () => {
    if (redis.isUp()) return
    change()
    redis.start({ loadingMs: forMs / 4 })
  })
}

function clock(name: "redis" | "postgres" | "machine"): Cause {
  return (world, { forMs, size }) => {
    world.clocks[name] += size
    later(world, forMs, () => {
      world.clocks[name] = 0
    })
  }
}

function refuse(message: string): Cause {
  return (world, { forMs }) => {
    world.redis.refuse(message)
    later(world, forMs, () => world.redis.refuse(null))
  }
}

const FAULTS = {
  gateway_crash: ({ gateways }, fault) => pick(gateways, fault).crash(fault.forMs),
  gateway_pause: ({ gateways }, fault) => pick(gateways, fault).pause(fault.forMs),
  gateway_stop: ({ gateways }, fault) => pick(gateways, fault).stop(fault.forMs),
  flusher_crash: ({ flushers }, fault) => pick(flushers, fault).crash(fault.forMs),
  flusher_pause: ({ flushers }, fault) => pick(flushers, fault).pause(fault.forMs),
  flusher_stop: ({ flushers }, fault) => pick(flushers, fault).stop(fault.forMs),
  keeper_crash: ({ keepers }, fault) => pick(keepers, fault).crash(fault.forMs),
  keeper_pause: ({ keepers }, fault) => pick(keepers, fault).pause(fault.forMs),
  redis_crash: (world, { forMs }) => restartRedis(world, forMs, () => undefined),
  redis_pause: ({ redis }, { forMs }) => redis.pause(forMs),
  redis_cut: ({ redis }) => redis.cutAll(),
  redis_full(world, { forMs }) {
    world.redis.server.setFull(true)
    later(world, forMs, () => world.redis.server.setFull(false))
  },
  redis_readonly: refuse("READONLY You can't write against a read only replica."),
  scripts_flushed: ({ redis }) => void redis.server.execute(["SCRIPT", "FLUSH"]),
  postgres_crash(world, { forMs }) {
    world.postgres.crash()
    later(world, forMs, () => world.postgres.start())
  },
  postgres_pause: ({ postgres }, { forMs }) => postgres.pause(forMs),
  redis_clock: clock("redis"),
  postgres_clock: clock("postgres"),
  machine_clock: clock("machine"),
  redis_rolled_back(world, { forMs, size }) {
    restartRedis(world, forMs, () => world.redis.server.goBack(size))
  },
  /** Away from the master to a replica that lags, and back to the former master, its scripts and all. */
  redis_twice_promoted(world, { forMs, size }) {
    const { server } = world.redis
    if (!world.redis.isUp()) return
    const scripts = server.swapScripts(new Set())
    restartRedis(world, forMs / 4, () => server.goBack(size))
    later(world, forMs + 600, () =>
      restartRedis(world, forMs / 4, () => {
        server.goBack(Math.ceil(size / 4))
        server.swapScripts(scripts)
      }),
    )
  },
  redis_flushed: ({ redis }) => {
    if (redis.isUp()) redis.server.execute(["FLUSHALL"])
  },
  redis_replaced(world, { forMs }) {
    restartRedis(world, forMs, () => world.redis.server.restore(new Map()))
  },
  redis_restored(world, { forMs }) {
    const copy: Keyspace = world.redis.server.copy()
    later(world, forMs, () => restartRedis(world, forMs, () => world.redis.server.restore(copy)))
  },
  postgres_restored(world, { forMs }) {
    const { postgres } = world
    const backup = postgres.backUp()
    later(world, forMs, () => {
      postgres.crash()
      postgres.restore(backup)
      later(world, forMs / 8, () => postgres.start())
    })
  },
} satisfies Record<FaultKind, Cause>
