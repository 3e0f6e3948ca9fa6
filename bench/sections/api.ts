import { join } from "node:path"
import { UPSTREAM_CALLS } from "../../src/children.ts"
import { freePort } from "../../src/embedded/processes.ts"
import { noteAccepted } from "../books.ts"
import { drained } from "../lag.ts"
import { type Measured, measureInTurn } from "../measure.ts"
import { answering, type Program, startProgram } from "../programs.ts"
import type { Bench, Section } from "../section.ts"
import { percent, table, whole } from "../table.ts"
import { atMost, median } from "../target.ts"

type Name = "bare" | "billed"

const PEERS = join(import.meta.dir, "..", "peers")
const INTERFACE = { id: "bench.echo", method: "GET", path: "/api/bench/echo" }
const WARM_UP_SECONDS = 2
const RATIO_MAX = 1.5

/** Where calls of /api go, and another way there. Stopped by whoever starts it. */
export type Upstream = { bare: Program & { url: string }; stop(): Promise<void> }

/** The path under which it is sold. */
export const API_PATH = INTERFACE.path

/**
 * The same upstream, a small JSON answer to a GET, behind a Bun that only fetches it, and behind the
 * gateway, which holds, forwards and captures.
 */
export async function runApi(bench: Bench): Promise<Section> {
  const { system, accounts, options, terminal } = bench
  const upstream = await startUpstream(bench)
  const gateway = await system.startGateway()
  try {
    const shared = { path: API_PATH, method: "GET", accounts } as const
    const { bare } = upstream
    const measured = await measureInTurn<Name>(
      [
        { ...shared, name: "bare", url: bare.url, pids: () => ({ gateway: [bare.pid] }) },
        {
          ...shared,
          name: "billed",
          url: gateway.url,
          pids: () => ({ gateway: [gateway.pid] }),
          settled: () => drained(system.redis),
        },
      ],
      {
        ...options,
        warmUpSeconds: Math.min(options.seconds, WARM_UP_SECONDS),
        onRound(name, round, { load, micros, callsPerSecond }) {
          if (name === "billed") noteAccepted(bench.proof, load.accepted)
          if (round === 0) return
          const cost = `${whole(callsPerSecond)} calls/s  gateway ${micros.gateway?.toFixed(1)} µs`
          terminal.say(`${round}/${options.rounds} /api ${name.padEnd(8)} ${cost}`)
        },
      },
    )
    return describe(measured)
  } finally {
    await gateway.stop()
    await upstream.stop()
  }
}

/** Gateways that start afterwards know the interface. */
export async function startUpstream({ system }: Bench): Promise<Upstream> {
  const { dir, sql } = system
  const upstream = await startBun("upstream", { dir, env: {} })
  const bare = await startBun("proxy", { dir, env: { UPSTREAM_URL: upstream.url } })
  const { id, method, path } = INTERFACE
  // As an administrator would, but in one statement.
  await sql`
    insert into interfaces (id, name, method, path, price_fen, upstream_url)
    values (${id}, 'Benchmark', ${method}, ${path}, 1, ${upstream.url})
    on conflict (id) do update set upstream_url = excluded.upstream_url
  `
  return {
    bare,
    async stop() {
      await bare.stop()
      await upstream.stop()
    },
  }
}

async function startBun(
  name: string,
  { dir, env }: { dir: string; env: Record<string, string> },
): Promise<Program & { url: string }> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const program = startProgram([process.execPath, join(PEERS, `${name}.ts`)], {
    dir,
    name,
    env: { PORT: String(port), NODE_ENV: "production", ...UPSTREAM_CALLS, ...env },
  })
  await answering(program, { url, isUp: (status) => status === 200 })
  return { ...program, url }
}

function describe(measured: ReadonlyMap<Name, Measured[]>): Section {
  const rounds = (name: Name) => measured.get(name) ?? []
  const middle = (name: Name, read: (measured: Measured) => number) =>
    median(rounds(name).map(read))
  const row = (
    title: string,
    read: (measured: Measured) => number,
    write: (n: number) => string,
  ) => [title, write(middle("bare", read)), write(middle("billed", read))]
  const micros = (each: Measured) => each.micros.gateway ?? Number.NaN
  const ratios = rounds("billed").map(
    (each, i) => micros(each) / (rounds("bare")[i]?.micros.gateway ?? Number.NaN),
  )
  return {
    title: "Calls that are forwarded",
    lines: table(
      ["", "a bare proxy", "billed /api"],
      [
        row("calls/s", (each) => each.callsPerSecond, whole),
        row("CPU µs/call: gateway", micros, (value) => value.toFixed(1)),
        row("other programs, median", (each) => each.foreignShare, percent),
      ],
    ),
    targets: [atMost("gateway CPU, billed /api / a bare Bun proxy", ratios, RATIO_MAX)],
  }
}
