import type { AccountId } from "../../src/ids.ts"
import type { HttpAnswer } from "../generator/answer-reader.ts"
import { type Generated, type Generator, startGenerator } from "../generator/generate.ts"
import { createHistogram, type Histogram, microsAt } from "../generator/histogram.ts"
import { parseServer, writeRequest } from "../generator/request.ts"
import { type Tally, tallyAnswer } from "../generator/tally.ts"
import type { Key } from "./keys.ts"
import type { LoadOptions } from "./options.ts"

/** One second of the load, for the pictures. */
export type Second = { accepted: number; refused: number; p50Ms: number; p99Ms: number }

/** The charges of an account that this load saw accepted, by their numbers. */
export type AcceptedCharges = { seqs: number[]; fen: number; lost: number }

export type LoadResult = Generated &
  Tally & {
    accepted: Map<AccountId, AcceptedCharges>
    acceptedCalls: number
    seconds: number
    timeline: Second[]
  }

/** What has been seen so far, for the terminal. */
export type LiveFigures = {
  accepted: number
  refused: number
  lost: number
  /** Of the last whole second. */
  last: Second | null
  codes: ReadonlyMap<string, number>
}

export type RunningLoad = {
  finished: Promise<LoadResult>
  live(): LiveFigures
  stop: Generator["stop"]
}

/** How long an answer may take before its call counts as lost. */
const TIMEOUT_MS = 10_000
const CHARGE = /"chargeId":"chg_[0-9a-z]+_\d+_(\d+)".*?"amountFen":(\d+)/s

/** Charges with each of the keys in turn; `requestId` is in the record of every one. */
export function startLoad(
  keys: readonly Key[],
  { requestId, ...options }: LoadOptions & { requestId: string },
): RunningLoad {
  const tally: Tally = { statuses: new Map(), codes: new Map() }
  const accepted = new Map<AccountId, AcceptedCharges>()
  const counts = { accepted: 0, refused: 0, lost: 0 }
  const timeline = createTimeline()
  const body = JSON.stringify({ interface: options.interface })
  const generator = startGenerator(
    {
      ...options,
      targets: [parseServer(options.url).target],
      requests: keys.map(({ secret }) =>
        writeRequest(options.url, { path: "/v1/charges", key: secret, body, requestId }),
      ),
      timeoutMs: TIMEOUT_MS,
    },
    {
      answered(place, answer, micros) {
        tallyAnswer(tally, answer)
        const isAccepted = answer.status === 200
        counts[isAccepted ? "accepted" : "refused"]++
        timeline.note(micros, isAccepted)
        if (isAccepted) noteCharge(chargesOf(place), answer)
      },
      lost(place) {
        counts.lost++
        chargesOf(place).lost++
      },
    },
  )
  return {
    live: () => ({ ...counts, last: timeline.last(), codes: tally.codes }),
    stop: generator.stop,
    finished: generator.finished.then((generated) => ({
      ...generated,
      ...tally,
      accepted,
      acceptedCalls: counts.accepted,
      timeline: timeline.seconds(),
    })),
  }

  function chargesOf(place: number): AcceptedCharges {
    const key = keys[place]
    if (key === undefined) throw new RangeError(`there is no key ${place}`)
    const found = accepted.get(key.accountId)
    if (found !== undefined) return found
    const charges = { seqs: [], fen: 0, lost: 0 }
    accepted.set(key.accountId, charges)
    return charges
  }
}

function noteCharge(charges: AcceptedCharges, { body }: HttpAnswer): void {
  const [, seq, amountFen] = CHARGE.exec(body.toString("latin1")) ?? []
  // An answer of 200 that names no charge is none that the record can have: the audit says so.
  charges.seqs.push(Number(seq ?? Number.NaN))
  charges.fen += Number(amountFen ?? 0)
}

function createTimeline() {
  const done: Second[] = []
  let current = { histogram: createHistogram(), accepted: 0, refused: 0 }
  let endsAt = 0
  return { note, last: () => done.at(-1) ?? null, seconds }

  function note(micros: number, isAccepted: boolean): void {
    const now = performance.now()
    if (endsAt === 0) endsAt = now + 1_000
    while (now >= endsAt) {
      close()
      endsAt += 1_000
    }
    current.histogram.record(micros)
    current[isAccepted ? "accepted" : "refused"]++
  }

  function close(): void {
    const { histogram, accepted, refused } = current
    done.push({ accepted, refused, ...latencyOf(histogram) })
    current = { histogram: createHistogram(), accepted: 0, refused: 0 }
  }

  /** The last second is left out, unless it is the only one: it was not a whole one. */
  function seconds(): Second[] {
    if (done.length === 0) close()
    return done
  }
}

function latencyOf(histogram: Histogram): { p50Ms: number; p99Ms: number } {
  const counts = histogram.snapshot()
  return { p50Ms: microsAt(counts, 0.5) / 1_000, p99Ms: microsAt(counts, 0.99) / 1_000 }
}
