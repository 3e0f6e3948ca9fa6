import { readStop } from "../../db/queries/read-stop.ts"
import { resumePartition } from "../../db/queries/resume-partition.ts"
import { auditOf, SYSTEM } from "../audit.ts"
import { type Command, parseWords, Refused, readNumber } from "./command.ts"
import { requireRunning, withPostgres } from "./stores.ts"

const PARTITION_MAX = 1_023

/** Tells the flusher of a partition that was stopped by a broken invariant to go on. */
export const resume: Command = {
  summary: "lets a partition go on that was stopped by a broken invariant",
  usage: `npm run ops -- resume <partition>

Prints why flushing of the partition was stopped, and lets it go on. Do it once the cause is gone: a
flusher that finds the same fault stops again within seconds, and nothing is skipped either way. The
act is written to the audit log.
`,
  async run(words, { env, out }) {
    const { positionals } = parseWords(words, { options: {}, names: ["partition"] })
    const [word = ""] = positionals
    const partition = readNumber(word, { name: "partition", min: 0, max: PARTITION_MAX })
    return withPostgres(requireRunning(env), async (sql) => {
      const reason = await readStop(sql, partition)
      if (reason === null) throw new Refused(`Partition ${partition} is not stopped.`)
      out(`partition ${partition} was stopped: ${reason}\n`)
      const audit = auditOf(SYSTEM, "partition.resumed", { partition, reason })
      if (!(await resumePartition(sql, { partition, reason, audit }))) {
        throw new Refused(`Partition ${partition} was stopped again meanwhile: look once more.`)
      }
      out(`partition ${partition} goes on\n`)
      return 0
    })
  },
}
