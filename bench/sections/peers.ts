import { join } from "node:path"
import { noteAccepted } from "../books.ts"
import { holdBackFlusher } from "../hold-back.ts"
import { drained } from "../lag.ts"
import { type Contender, type Measured, measureInTurn } from "../measure.ts"
import { PEER_NAMES, PEER_TITLES, type Peer, type PeerName } from "../peers/peer.ts"
import { startPeer } from "../peers/start.ts"
import type { Bench, Section } from "../section.ts"
import { bars } from "../svg/bars.ts"
import type { Picture } from "../svg/picture.ts"
import { PART_NAMES, PARTS } from "../system.ts"
import { percent, type Row, table, whole } from "../table.ts"
import { atLeast, median, type Target } from "../target.ts"

type Name = PeerName | typeof OWN | typeof DECIDING
type Contest = { measured: ReadonlyMap<Name, Measured[]>; leftOut: string[] }

const OWN = "fengate"
/** The same while its flusher waits: what the builds on Redis do, which write nothing to Postgres. */
const DECIDING = "deciding"
const TITLES: Record<Name, string> = {
  fengate: "Fengate, Postgres included",
  deciding: "Fengate, as far as Redis",
  ...PEER_TITLES,
}
const NAMES: readonly Name[] = [OWN, DECIDING, ...PEER_NAMES]
const CREDIT_FEN = 1_000_000
const WARM_UP_SECONDS = 2
/** How many times as many charges a CPU-second has to be good for. */
const RATIO_MIN: Partial<Record<PeerName, number>> = {
  elysia: 1.5,
  pipelined: 1.5,
  nginx: 1.8,
  postgres: 5,
}
/** The same charge in other builds, each with stores of its own, in turn with ours. */
export async function runPeers(bench: Bench): Promise<Section> {
  const { system, options, terminal } = bench
  const peers: Peer[] = []
  const leftOut: string[] = []
  try {
    for (const name of PEER_NAMES) {
      const dir = join(system.dir, `peer-${name}`)
      const size = { accounts: options.accounts, creditFen: CREDIT_FEN }
      const started = await startPeer(name, { dir, ...size })
      if (typeof started === "string") {
        leftOut.push(started)
        terminal.say(started)
      } else peers.push(started)
    }
    const accepted = new Map<PeerName, number>()
    const [wholeOfIt, deciding] = contendersOf(bench)
    const measured = await measureInTurn([wholeOfIt, deciding, ...peers.map(contenderOfPeer)], {
      ...options,
      warmUpSeconds: Math.min(options.seconds, WARM_UP_SECONDS),
      onRound(name, round, { load, micros, callsPerSecond }) {
        if (name === OWN || name === DECIDING) noteAccepted(bench.proof, load.accepted)
        else accepted.set(name, (accepted.get(name) ?? 0) + (load.statuses.get(200) ?? 0))
        if (round === 0) return
        const each = Object.entries(micros).map(([part, value]) => `${part} ${value.toFixed(1)} µs`)
        const rate = `${whole(callsPerSecond)} calls/s`
        terminal.say(`${round}/${options.rounds} ${name.padEnd(10)} ${rate}  ${each.join("  ")}`)
      },
    })
    for (const peer of peers) await auditPeer(peer, accepted.get(peer.name) ?? 0)
    return describe({ measured, leftOut })
  } finally {
    for (const peer of peers) await peer.stop()
  }
}

type Named = Contender & { name: Name }

function contendersOf({ system, accounts }: Bench): [whole: Named, deciding: Named] {
  const [gateway] = system.gateways
  if (gateway === undefined) throw new Error("there is no gateway")
  const own = { url: gateway.url, path: "/v1/charges", accounts }
  const pids = () => ({ ...system.pids(), gateway: [gateway.pid] })
  const settled = () => drained(system.redis)
  return [
    { ...own, name: OWN, pids, settled },
    {
      ...own,
      name: DECIDING,
      pids: () => ({ gateway: [gateway.pid], redis: system.pids().redis }),
      begin() {
        const goOn = holdBackFlusher(system)
        return () => {
          goOn()
          return settled()
        }
      },
    },
  ]
}

function contenderOfPeer({ name, url, accounts, pids }: Peer): Named {
  const store = name === "postgres" || name === "statement" ? "postgres" : "redis"
  return {
    name,
    url,
    path: "/v1/charges",
    accounts,
    pids: () => ({ gateway: [pids.gateway], [store]: [pids.store] }),
  }
}

/** A peer whose books do not balance is no peer. */
async function auditPeer({ name, accounts, books }: Peer, accepted: number): Promise<void> {
  const seededFen = accounts.reduce((sum, { creditFen }) => sum + creditFen, 0)
  const { leftFen, changes } = await books()
  if (leftFen + accepted === seededFen && changes === accepted) return
  throw new Error(
    `${name}: ${accepted} calls were accepted and ${changes} changes recorded; of ${seededFen} fen, ${leftFen} are left`,
  )
}

type Figures = {
  present: readonly Name[]
  rounds(name: Name): readonly Measured[]
  /** The median over the rounds. */
  middle(name: Name, read: (measured: Measured) => number): number
}

function describe({ measured, leftOut }: Contest): Section {
  const rounds = (name: Name) => measured.get(name) ?? []
  const figures: Figures = {
    present: NAMES.filter((name) => measured.has(name)),
    rounds,
    middle: (name, read) => median(rounds(name).map(read)),
  }
  const parts = PARTS.map((part) => PART_NAMES[part])
  return {
    title: "Other builds of the same charge",
    lines: [
      "CPU µs per charge by process. The builds on Redis keep their records there and write none to",
      "Postgres. So they are compared with ours as far as Redis, while its flusher waits; the build on",
      "Postgres with all of ours, the flusher and Postgres too.",
      "",
      ...table(["", "charges/s", ...parts, "all", "other programs, worst"], rowsOf(figures)),
      ...leftOut.flatMap((sentence) => ["", sentence]),
    ],
    targets: PEER_NAMES.flatMap((name) => targetsOf(name, rounds)),
    pictures: picturesOf(figures),
  }
}

function rowsOf({ present, rounds, middle }: Figures): Row[] {
  return present.map((name) => {
    const has = (part: string) => rounds(name)[0]?.micros[part] !== undefined
    return [
      name === OWN || name === DECIDING ? `**${TITLES[name]}**` : TITLES[name],
      whole(middle(name, (each) => each.callsPerSecond)),
      ...PARTS.map((part) =>
        has(part) ? middle(name, ({ micros }) => micros[part] ?? 0).toFixed(1) : "–",
      ),
      middle(name, sumOf).toFixed(1),
      percent(Math.max(...rounds(name).map(({ foreignShare }) => foreignShare))),
    ]
  })
}

function picturesOf({ present, middle }: Figures): Picture[] {
  return [
    bars({
      file: "cpu-per-charge.svg",
      title: "CPU per charge",
      note: "µs by process; less is better. The builds on Redis write no record to Postgres.",
      series: PARTS.map((part) => PART_NAMES[part]),
      bars: present.map((name) => ({
        name: TITLES[name],
        parts: PARTS.map((part) => middle(name, ({ micros }) => micros[part] ?? 0)),
      })),
    }),
    bars({
      file: "charges-per-second.svg",
      title: "Charges per second",
      note: "One charge a call, closed loop; load generator and stores share the cores.",
      series: ["charges/s"],
      bars: present.map((name) => ({
        name: TITLES[name],
        parts: [middle(name, (each) => each.callsPerSecond)],
      })),
    }),
  ]
}

/** Ratios of rounds that stood beside each other. */
function targetsOf(name: PeerName, rounds: (name: Name) => readonly Measured[]): Target[] {
  const min = RATIO_MIN[name]
  if (min === undefined || rounds(name).length === 0) return []
  const isWhole = name === "postgres"
  const ratios = rounds(name).map((peer, i) => {
    const own = rounds(isWhole ? OWN : DECIDING)[i]
    return own === undefined ? Number.NaN : sumOf(peer) / sumOf(own)
  })
  const what = isWhole ? "everything of ours counted" : "as far as Redis"
  return [atLeast(`charges per CPU-second, ours / ${PEER_TITLES[name]} (${what})`, ratios, min)]
}

function sumOf({ micros }: Measured): number {
  return PARTS.reduce((sum, part) => sum + (micros[part] ?? 0), 0)
}
