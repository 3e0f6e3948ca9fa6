import { readFileSync } from "node:fs"
import { join } from "node:path"
import { noteAccepted } from "./books.ts"
import { runJob } from "./generator/job.ts"
import { runLoad } from "./load.ts"
import type { PartOfRun } from "./options.ts"
import type { Bench } from "./section.ts"
import { API_PATH, startUpstream } from "./sections/api.ts"
import { batchJob, noteOutcome } from "./sections/batch.ts"
import type { Gateway } from "./system.ts"

type Frame = { functionName: string; url: string; lineNumber: number }
type Profile = {
  nodes: { id: number; callFrame: Frame }[]
  samples: number[]
  timeDeltas: number[]
}

const TOP = 30
const SECONDS_MIN = 4
const BATCH_ACCOUNTS = 4
/** A sample that stands for longer than this is a wait. */
const WAIT_MICROS = 20_000

/** What can be profiled: loads a gateway with one part of a run. */
const LOADS: Partial<Record<PartOfRun, (bench: Bench, gateway: Gateway) => Promise<void>>> = {
  charge: (bench, { url }) => call(bench, { url, path: "/v1/charges", method: "POST" }),
  api: (bench, { url }) => call(bench, { url, path: API_PATH, method: "GET" }),
  batch: callBatches,
}

/**
 * One round of each part on a gateway of its own under Bun's profiler: where JavaScript spends its
 * time. What runs in the runtime itself (sockets, HTTP, garbage) is in it as one anonymous function.
 */
export async function runProfiles(bench: Bench): Promise<string[]> {
  const lines: string[] = []
  const upstream = bench.options.only.includes("api") ? await startUpstream(bench) : null
  for (const part of bench.options.only) {
    const load = LOADS[part]
    if (load === undefined) continue
    bench.terminal.say(`Profiling ${part} ...`)
    const name = `${part}.cpuprofile`
    const gateway = await bench.system.startGateway({
      bunArgs: ["--cpu-prof", `--cpu-prof-dir=${bench.system.dir}`, `--cpu-prof-name=${name}`],
    })
    await load(bench, gateway)
    await gateway.stop()
    const top = topFunctions(readProfile(join(bench.system.dir, name)))
    lines.push("", `Where a gateway's JavaScript spends its time: ${part}`, ...top)
  }
  await upstream?.stop()
  return lines
}

async function call(
  { accounts, options, proof }: Bench,
  { url, path, method }: { url: string; path: string; method: "GET" | "POST" },
): Promise<void> {
  const { connections, seconds } = options
  const progress = { calls: 0, refused: 0, lost: 0 }
  const until = { seconds: Math.max(seconds, SECONDS_MIN) }
  const load = { urls: [url], path, method, accounts, connections, until, progress }
  noteAccepted(proof, (await runLoad(load)).accepted)
}

async function callBatches(bench: Bench, { url }: Gateway): Promise<void> {
  const accounts = bench.accounts.slice(0, BATCH_ACCOUNTS)
  const seconds = Math.max(bench.options.seconds, SECONDS_MIN)
  const job = batchJob(accounts, { urls: [url], seconds, batchesPerSecond: null })
  noteOutcome(bench, accounts, await runJob(job, { calls: 0, refused: 0, lost: 0 }))
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
