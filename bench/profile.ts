import { readFileSync } from "node:fs"
import { join } from "node:path"
import { noteAccepted } from "./books.ts"
import { runRound } from "./rounds.ts"
import type { Bench } from "./section.ts"
import type { System } from "./system.ts"

type Frame = { functionName: string; url: string; lineNumber: number }
type Profile = {
  nodes: { id: number; callFrame: Frame }[]
  samples: number[]
  timeDeltas: number[]
}

const TOP = 30
const NAME = "gateway.cpuprofile"
/** A sample that stands for longer than this is a wait. */
const WAIT_MICROS = 20_000

/**
 * One round of charges on a gateway of its own under Bun's profiler: where JavaScript spends its
 * time. What runs in the runtime itself (sockets, HTTP, garbage) is in it as one anonymous function.
 */
export async function runProfile({
  system,
  accounts,
  options,
  terminal,
  proof,
}: Bench): Promise<string[]> {
  const gateway = await system.startGateway([
    "--cpu-prof",
    `--cpu-prof-dir=${system.dir}`,
    `--cpu-prof-name=${NAME}`,
  ])
  const profiled: System = {
    ...system,
    gateways: [gateway],
    pids: () => ({ ...system.pids(), gateway: [gateway.pid] }),
  }
  const scenario = { name: "profile", path: "/v1/charges", accounts, expects: 200 }
  const { connections, seconds } = options
  const { load } = await runRound(scenario, { system: profiled, connections, seconds, terminal })
  noteAccepted(proof, load.accepted)
  await gateway.stop()
  return [
    "",
    "Where a gateway's JavaScript spends its time, per charge:",
    ...topFunctions(readProfile(join(system.dir, NAME))),
  ]
}

function readProfile(path: string): Profile {
  const profile: Profile = JSON.parse(readFileSync(path, "utf8"))
  return profile
}

function topFunctions({ nodes, samples, timeDeltas }: Profile): string[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const spent = new Map<string, number>()
  let total = 0
  for (const [i, id] of samples.entries()) {
    const micros = timeDeltas[i] ?? 0
    if (micros > WAIT_MICROS) continue
    const name = names.get(id) ?? "unknown"
    spent.set(name, (spent.get(name) ?? 0) + micros)
    total += micros
  }
  return [...spent]
    .sort(([, left], [, right]) => right - left)
    .slice(0, TOP)
    .map(([name, micros]) => `${((100 * micros) / total).toFixed(1).padStart(5)} %  ${name}`)
}

function nameOf({ functionName, url, lineNumber }: Frame): string {
  const file =
    url === "" ? "the runtime" : (url.split(/node_modules\/|\/(?=src\/|bench\/)/).at(-1) ?? "")
  return `${functionName || "(anonymous)"}  ${file}:${lineNumber + 1}`
}
