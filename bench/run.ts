import { messageOf } from "../src/ticker.ts"
import { type Books, checkBooks } from "./books.ts"
import { type Options, type PartOfRun, readOptions } from "./options.ts"
import { runProfiles } from "./profile.ts"
import { describeMachine, keepReport, writeReport } from "./report.ts"
import type { Bench, Section } from "./section.ts"
import { runApi } from "./sections/api.ts"
import { runBatch } from "./sections/batch.ts"
import { runCharges } from "./sections/charges.ts"
import { runDurability } from "./sections/durability.ts"
import { runLatency } from "./sections/latency.ts"
import { runOversell } from "./sections/oversell.ts"
import { runPairs } from "./sections/pairs.ts"
import { runPeers } from "./sections/peers.ts"
import { seedAccounts, seeded } from "./seed.ts"
import { type System, startSystem } from "./system.ts"
import { createTerminal, type Terminal } from "./terminal.ts"

/**
 * `npm run bench`: a whole installation on this machine, loaded, measured and audited. A run whose
 * books do not balance has no result: it prints what is wrong, and exits 1.
 */

const RUN: Record<PartOfRun, (bench: Bench) => Promise<Section>> = {
  charge: runCharges,
  pairs: runPairs,
  peers: runPeers,
  api: runApi,
  batch: runBatch,
  latency: runLatency,
  durability: runDurability,
  oversell: runOversell,
}

/** Enough for every round of every part. */
const CREDIT_FEN = 10_000_000

const terminal = createTerminal()
try {
  process.exitCode = await main(readOptions(process.argv.slice(2)))
} catch (error) {
  terminal.say(`No result: ${messageOf(error)}`)
  process.exitCode = 1
}
process.exit()

async function main(options: Options): Promise<number> {
  const system = await startSystem({ gateways: options.gateways, log: terminal.say })
  let isStopping = false
  process.on("SIGINT", () => {
    if (isStopping) return
    isStopping = true
    void system.stop().finally(() => process.exit(130))
  })
  try {
    return await measure(system, options, terminal)
  } finally {
    if (!isStopping) await system.stop()
  }
}

async function measure(system: System, options: Options, { say }: Terminal): Promise<number> {
  const startedAt = performance.now()
  say(`Making ${options.accounts} accounts ...`)
  const size = { count: options.accounts, creditFen: CREDIT_FEN }
  const accounts = await seedAccounts(system.sql, size)
  await seeded(system)
  const proof = { accounts: [...accounts], accepted: new Map() }
  const bench: Bench = { system, options, terminal, accounts, proof }
  const sections: Section[] = []
  for (const part of options.only) sections.push(await RUN[part](bench))
  const profile = options.isProfiled ? await runProfiles(bench) : []
  say("Auditing the books ...")
  const books = await checkBooks(system, proof)
  if (books.findings.length > 0) {
    say(["No result: the books do not balance.", ...books.findings].join("\n  "))
    return 1
  }
  const machine = await describeMachine(system)
  const minutes = (performance.now() - startedAt) / 60_000
  const report = writeReport({ options, sections, books: sentenceOf(books), machine, minutes })
  say([report, ...profile].join("\n"))
  if (options.isWritten) keepReport(report, sections)
  return 0
}

function sentenceOf({ accepted, records, fen }: Books): string {
  return (
    `Books: ${accepted} charges accepted = ${records} records of charges in Postgres = ` +
    `${fen} fen deducted, in Redis and in Postgres, for each account too.`
  )
}
