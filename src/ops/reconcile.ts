import { beginRun } from "../../db/queries/begin-run.ts"
import { failRun } from "../../db/queries/fail-run.ts"
import { newId } from "../ids.ts"
import { formatCny } from "../money.ts"
import type { Recomputed } from "../reconcile/recompute.ts"
import { carryOut } from "../reconcile/runs.ts"
import { messageOf } from "../ticker.ts"
import { type Command, type Io, parseWords } from "./command.ts"
import { requireRunning, type Stores, withStores } from "./stores.ts"

const PROGRESS_MS = 2_000

/** Recomputes the books from nothing, while calls are charged or not. */
export const reconcile: Command = {
  summary: "recomputes the books from nothing, and says what they are out by",
  usage: `npm run ops -- reconcile [--strict] [--json]

Recomputes every account from its first record, while calls are charged or not: records without a gap,
before ± amount = after, their sum = the last balance = the balance in Redis less what is not flushed
yet; credits = their causes; usage = charges; held = open holds; counter-accounts = records, and the
trial balance zero, by kind and in total. Drift is what any of the sums is out by, in fen. All else,
such as a record that is missing while the sums agree, is a finding without drift.

The run is stored, and where nothing is found the records that it has seen are marked as final.

  --strict  exit with 1 where anything is found; without it only where there is drift
  --json    the result as one JSON object
`,
  async run(words, io) {
    const options = { strict: { type: "boolean" }, json: { type: "boolean" } } as const
    const { values } = parseWords(words, { options })
    const startedAt = performance.now()
    const { id, recomputed } = await withStores(requireRunning(io.env), (stores) =>
      carryOutNoted(stores, io),
    )
    const seconds = Number(((performance.now() - startedAt) / 1_000).toFixed(1))
    const { drifts: _, ...result } = recomputed
    if (values.json === true) io.out(`${JSON.stringify({ id, seconds, ...result }, null, 2)}\n`)
    else io.out(describe({ id, seconds, ...result }))
    const isOut = result.driftFen > 0 || (values.strict === true && result.findings.length > 0)
    return isOut ? 1 : 0
  },
}

async function carryOutNoted(
  stores: Stores,
  io: Io,
): Promise<{ id: string; recomputed: Recomputed }> {
  const id = newId("rec")
  await beginRun(stores.sql, id)
  let toldAt = performance.now()
  try {
    const recomputed = await carryOut(stores, {
      id,
      log: (line) => io.err(`${line}\n`),
      onPage({ accounts, records }) {
        if (performance.now() - toldAt < PROGRESS_MS) return
        toldAt = performance.now()
        io.err(`${accounts} accounts with ${records} records are recomputed ...\n`)
      },
    })
    return { id, recomputed }
  } catch (error) {
    await failRun(stores.sql, { id, failure: messageOf(error) }).catch(() => undefined)
    throw error
  }
}

type Result = Omit<Recomputed, "drifts"> & { id: string; seconds: number }

function describe(result: Result): string {
  const { accounts, records, creditsFen, debitsFen, balancesFen, driftFen, findings } = result
  const lines = [
    `${accounts} accounts, ${records} records, in ${result.seconds} s`,
    `credits ${formatCny(creditsFen)} - debits ${formatCny(debitsFen)} = balances ${formatCny(balancesFen)} CNY`,
    ...result.proven.map(
      ({ partition, position, through }) =>
        `partition ${partition}: ${position} records, the last of ${through?.toISOString() ?? "never"}`,
    ),
    ...findings.map((finding) => `FOUND ${finding}`),
    `drift: ${driftFen} fen; findings: ${findings.length}; stored as ${result.id}`,
  ]
  return `${lines.join("\n")}\n`
}
