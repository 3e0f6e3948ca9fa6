import { messageOf } from "../src/ticker.ts"
import { checkBooks } from "./books.ts"
import { type Options, readOptions } from "./options.ts"
import { runOversell } from "./oversell.ts"
import { runPairs } from "./pairs.ts"
import { runProfile } from "./profile.ts"
import { describeMachine, keepReport, writeReport } from "./report.ts"
import { makeScenarios, runScenarios } from "./scenarios.ts"
import { type System, startSystem } from "./system.ts"
import { createTerminal, type Terminal } from "./terminal.ts"

/**
 * `npm run bench`: a whole installation on this machine, loaded, measured and audited. A run whose
 * books do not balance has no result: it prints what is wrong, and exits 1.
 */
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
  process.once("SIGINT", () => {
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
  say(`Making ${options.accounts} accounts ...`)
  const scenarios = await makeScenarios(system, options)
  const measured = await runScenarios(scenarios, { system, options, terminal })
  const { pairs, loads: pairLoads } = await runPairs(scenarios, { system, options, terminal })
  const loads = [...measured.loads, ...pairLoads]
  const profile = options.isProfiled
    ? await runProfile(system, { scenario: scenarios.charge, ...options, terminal })
    : null
  if (profile !== null) loads.push(profile.load)
  say("Overselling ...")
  const oversell = await runOversell(system)
  loads.push(...oversell.loads)
  say("Auditing the books ...")
  const accounts = [...new Set([...measured.accounts, oversell.account])]
  const books = await checkBooks(system, { accounts, loads })
  if (!oversell.isExact) {
    const { accepted, refused, repeated } = oversell
    books.findings.push(`oversell: ${accepted} accepted, ${refused} refused, ${repeated} times 503`)
  }
  if (books.findings.length > 0) {
    say(["No result: the books do not balance.", ...books.findings].join("\n  "))
    return 1
  }
  const machine = await describeMachine(system)
  const report = writeReport({ options, measured, pairs, oversell, books, machine })
  say(`\n${report}`)
  if (profile !== null) {
    say(
      ["", "Where a gateway's JavaScript spends its time, per charge:", ...profile.lines].join(
        "\n",
      ),
    )
  }
  if (options.isWritten) keepReport(report)
  return 0
}
