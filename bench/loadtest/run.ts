import { type AccountId, randomChars } from "../../src/ids.ts"
import { messageOf } from "../../src/ticker.ts"
import { whole } from "../table.ts"
import { type Audit, auditLoad } from "./audit.ts"
import { readStandings, type Standing } from "./balances.ts"
import { keepReport } from "./html.ts"
import { type Key, readKeys } from "./keys.ts"
import { type LoadResult, startLoad } from "./load.ts"
import { type LoadOptions, LoadTestRefused, readLoadOptions } from "./options.ts"
import type { Audited } from "./proof.ts"
import { describeReport, makeReport } from "./report.ts"
import { showProgress } from "./terminal.ts"

/**
 * `npm run loadtest`: a load on an installation that runs somewhere, and the audit of the money
 * afterwards. Exits 1 where the books do not balance or a call had no answer, 2 where it was not
 * run at all.
 */
try {
  process.exitCode = await main(readLoadOptions(process.argv.slice(2)))
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = error instanceof LoadTestRefused ? 2 : 1
}
process.exit()

async function main(options: LoadOptions): Promise<number> {
  const keys = readKeys(options.keysFile)
  const before = await readStandings(keys, options)
  const calls = [...before.values()].reduce((sum, { availableCalls }) => sum + availableCalls, 0)
  console.log(
    `${whole(keys.length)} keys of ${whole(before.size)} accounts, whose money is enough for ${whole(calls)} calls.`,
  )
  const startedAt = new Date()
  // It is in every record of this load, which is how the audit knows them.
  const requestId = `loadtest-${randomChars(16)}`
  const result = await runLoad(keys, { ...options, requestId })
  const audit = await auditMoney(options, { keys, before, result, requestId, startedAt })
  const found = { result, audit, startedAt, keys: keys.length, accounts: before.size }
  const report = makeReport(options, found)
  for (const line of describeReport(report)) console.log(line)
  if (options.outDir !== null) {
    keepReport(options.outDir, report, result.latency)
    console.log(`report     ${options.outDir}/report.html and report.json`)
  }
  return report.isGood ? 0 : 1
}

async function runLoad(
  keys: readonly Key[],
  options: LoadOptions & { requestId: string },
): Promise<LoadResult> {
  const load = startLoad(keys, options)
  const progress = showProgress(load)
  // The load ends in order, so that what was done is still told and audited. Not once: a terminal
  // and npm may both pass on the same Ctrl-C.
  process.on("SIGINT", load.stop)
  process.on("SIGTERM", load.stop)
  return load.finished.finally(progress.stop)
}

async function auditMoney(
  options: LoadOptions,
  load: {
    keys: readonly Key[]
    before: ReadonlyMap<AccountId, Standing>
    result: LoadResult
    requestId: string
    startedAt: Date
  },
): Promise<Audit | null> {
  if (options.databaseUrl === null) return null
  const { before, result, requestId, startedAt } = load
  const after = await readStandings(load.keys, options)
  const accounts = new Map<AccountId, Audited>()
  for (const [accountId, standing] of before) {
    accounts.set(accountId, {
      before: standing,
      after: after.get(accountId) ?? standing,
      charges: result.accepted.get(accountId) ?? { seqs: [], fen: 0, lost: 0 },
    })
  }
  let hasSaid = false
  return auditLoad(options.databaseUrl, {
    ...{ accounts, requestId, startedAt },
    onWait(behind) {
      if (!hasSaid) console.log(`Waiting for the record of ${whole(behind)} accounts ...`)
      hasSaid = true
    },
  })
}
