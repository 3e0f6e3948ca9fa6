import type { HttpAnswer } from "./answer-reader.ts"
import { startGenerator } from "./generate.ts"
import type { Job, Message } from "./job.ts"
import { parseServer, writeRequest } from "./request.ts"
import { type Tally, tallyAnswer, tallyBatch } from "./tally.ts"

/**
 * A generator as a process of its own, so that its event loop is nobody else's: reads a job from
 * its input, and writes its progress and at last the outcome, a line each.
 */

const PROGRESS_MS = 250

const job: Job = JSON.parse(await Bun.stdin.text())
const accepted = job.calls.map(() => 0)
const tally: Tally = { statuses: new Map(), codes: new Map() }
const progress = { calls: 0, refused: 0, lost: 0 }
const startCpu = process.cpuUsage()
const startedAt = performance.now()
const generator = startGenerator(
  {
    ...job,
    targets: job.urls.map((url) => parseServer(url).target),
    requests: job.calls.map((call) => writeRequest(job.urls[0] ?? "", call)),
  },
  {
    answered(place, answer) {
      tallyAnswer(tally, answer)
      progress.calls++
      if (answer.status >= 400) progress.refused++
      else accepted[place] = (accepted[place] ?? 0) + chargesOf(answer)
    },
    lost: () => void progress.lost++,
  },
)
const timer = setInterval(() => write({ progress }), PROGRESS_MS)
const generated = await generator.finished
clearInterval(timer)
const ms = performance.now() - startedAt
const { user, system } = process.cpuUsage(startCpu)
const outcome = {
  ...generated,
  ms,
  accepted,
  statuses: [...tally.statuses],
  codes: [...tally.codes],
  cpuMs: (user + system) / 1_000,
}
write({ outcome }, () => process.exit(0))

function chargesOf(answer: HttpAnswer): number {
  return job.batchItems === null ? 1 : tallyBatch(tally, answer, job.batchItems)
}

function write(message: Message, written?: () => void): void {
  process.stdout.write(`${JSON.stringify(message)}\n`, written)
}
