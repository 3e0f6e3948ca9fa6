import { type Caller, createCaller, type Fate, type Sent } from "./caller.ts"
import type { Chance } from "./chance.ts"
import type { Journal } from "./journal.ts"
import { PLAYS, type Play, type Stage } from "./plays.ts"
import type { Payer, Site } from "./site.ts"

/** Clients that call without a pause but their thinking, and what they saw of each gateway. */
export type Load = {
  stage: Stage
  seen: Seen
  /** Calls that are under way now. */
  underWay(): number
  /** Resolves when each client has ended what it does. */
  stop(): Promise<void>
}

/** One answer, or none, to a call that moves money. */
export type Sample = {
  gateway: number
  partition: number
  sentAt: number
  answeredAt: number
  outcome: "paid" | "unavailable" | "other" | "none"
}

export type Seen = { samples: Sample[]; calls: number }

type Options = {
  site: Site
  journal: Journal
  chance: Chance
  codes: string[]
  clients?: number
  /** How long a client thinks between two plays, at most. */
  thinkMsMax?: number
}

const CLIENTS = 20
const THINK_MS_MAX = 16

export function startLoad(options: Options): Load {
  const { site, journal, chance, codes, clients = CLIENTS, thinkMsMax = THINK_MS_MAX } = options
  const { gateways, accounts } = site
  const seen: Seen = { samples: [], calls: 0 }
  let underWay = 0
  let isGoing = true
  const callers: Caller[] = []
  const stages = Array.from({ length: clients }, createStage)
  const working = Promise.all(stages.map(work))
  const [stage] = stages
  if (stage === undefined) throw new RangeError("a load has at least one client")
  return {
    ...{ stage, seen, underWay: () => underWay },
    async stop() {
      isGoing = false
      await working
      for (const caller of callers) caller.close()
    },
  }

  async function work(own: Stage): Promise<void> {
    while (isGoing) {
      await pickPlay(chance)(own)
      await Bun.sleep(chance.between(0, thinkMsMax))
    }
  }

  /** Each client has connections of its own. */
  function createStage(): Stage {
    const own = gateways.map(({ port }) => createCaller(port))
    callers.push(...own)
    const everybody = [...accounts.rich, ...accounts.rich, ...accounts.poor]
    return {
      ...{ chance, journal },
      payer: () => chance.pick(everybody),
      poor: () => chance.pick(accounts.poor),
      code: () => codes.pop() ?? null,
      wait: () => Bun.sleep(chance.between(20, 120)),
      send: (payer, sent, options) => sendOne(own, { payer, sent, ...options }),
    }
  }

  async function sendOne(
    own: readonly Caller[],
    { payer, sent, isBilled = true }: { payer: Payer; sent: Sent; isBilled?: boolean },
  ): Promise<Fate> {
    const gateway = chance.between(0, own.length - 1)
    const caller = own[gateway]
    if (caller === undefined) throw new RangeError("no gateway")
    const sentAt = performance.now()
    underWay++
    const fate = await caller.call(sent)
    underWay--
    seen.calls++
    if (isBilled) {
      const { partition } = payer
      const answeredAt = performance.now()
      seen.samples.push({ gateway, partition, sentAt, answeredAt, outcome: outcomeOf(fate) })
    }
    return fate
  }
}

function outcomeOf(fate: Fate): Sample["outcome"] {
  if (fate.is !== "answered") return "none"
  // A batch is answered 200 whatever became of its items.
  const items: { status?: number }[] = fate.body?.results ?? []
  const isRefused = items.length > 0 && items.every(({ status }) => status === 503)
  if (fate.status === 503 || isRefused) return "unavailable"
  return fate.status < 300 ? "paid" : "other"
}

const WEIGHTS = PLAYS.reduce((sum, [, weight]) => sum + weight, 0)

function pickPlay(chance: Chance): Play {
  let at = chance.next() * WEIGHTS
  for (const [play, weight] of PLAYS) {
    at -= weight
    if (at < 0) return play
  }
  throw new RangeError("broken invariant: the weights do not add up")
}
