import { listPartitions } from "../../db/queries/list-partitions.ts"
import { anchorsDirOf } from "../flusher/anchors.ts"
import { type VerifiedChain, verifyChain as verifyOne } from "../reconcile/chain.ts"
import { type Command, parseWords, readNumber } from "./command.ts"
import { requireRunning, withPostgres } from "./stores.ts"

/** Recomputes the hash chains over the record, and compares them with their anchors. */
export const verifyChain: Command = {
  summary: "recomputes the hash chain over the records, and compares it with its anchors",
  usage: `npm run ops -- verify-chain [--partition N] [--anchors DIR] [--json]

Recomputes the hash chain of every partition from its records, and compares it with the head beside the
watermark and with the anchors, which stand outside of the database. Exits with 1 where a record was
changed, removed or slipped in since it was written. Records may be written meanwhile.

  --partition N   this one alone
  --anchors DIR   where the anchors are (default DATA_DIR/anchors); give the copies that you keep elsewhere
  --json          the result as one JSON object
`,
  async run(words, { env, out }) {
    const { values } = parseWords(words, { options: OPTIONS })
    const installation = requireRunning(env)
    const anchorsDir = values.anchors ?? anchorsDirOf(installation.config.dataDir)
    const chains = await withPostgres(installation, async (sql) => {
      const results: VerifiedChain[] = []
      for (const partition of await partitionsOf(values.partition, () => listPartitions(sql))) {
        results.push(await verifyOne({ sql, anchorsDir }, { partition }))
      }
      return results
    })
    const isWhole = chains.every(({ findings }) => findings.length === 0)
    out(
      values.json === true ? `${JSON.stringify({ isWhole, chains }, null, 2)}\n` : describe(chains),
    )
    return isWhole ? 0 : 1
  },
}

const OPTIONS = {
  partition: { type: "string" },
  anchors: { type: "string" },
  json: { type: "boolean" },
} as const

async function partitionsOf(
  word: string | undefined,
  listAll: () => Promise<number[]>,
): Promise<number[]> {
  if (word === undefined) return listAll()
  return [readNumber(word, { name: "--partition", min: 0, max: 1_023 })]
}

function describe(chains: readonly VerifiedChain[]): string {
  const lines = chains.flatMap(({ partition, records, anchors, findings }) => [
    `partition ${partition}: a chain of ${records} records, compared with ${anchors} anchors: ${findings.length === 0 ? "whole" : "BROKEN"}`,
    ...findings.map((finding) => `FOUND ${finding}`),
  ])
  return `${lines.join("\n")}\n`
}
