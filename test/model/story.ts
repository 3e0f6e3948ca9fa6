import type { Asked, Recorded } from "./linearise.ts"
import type { Request } from "./model.ts"

/** What one account was asked in a step, and the records that it made. */
export type Story = {
  step: number
  asked: readonly (Asked & { gateway: number })[]
  records: readonly Recorded[]
}

/** Where the furthest order of the last step ends. */
type End = { at: readonly number[]; made: number; differences: readonly string[] }

/** Far more than is left once a scenario has shrunk. */
const STEPS_MAX = 8
const LINES_MAX = 40

/** What the account was asked and answered up to the step that nothing explains, as a person reads it. */
export function tellStory(stories: readonly Story[], { at, made, differences }: End): string {
  const last = stories.at(-1)
  const steps = stories.filter(({ asked, records }) => asked.length + records.length > 0)
  const told = steps
    .slice(-STEPS_MAX)
    .flatMap(({ step, asked, records }) => [
      `step ${step}`,
      ...shorten(asked.map(tellAsked)),
      ...shorten(records.map((record) => `    record: ${tellRecord(record)}`)),
    ])
  const left = at.flatMap((place, lane) => {
    const asked = last?.asked.filter(({ gateway }) => gateway === lane)[place]
    return asked === undefined ? [] : `  is not explained: ${tellAsked(asked).trim()}`
  })
  const next = last?.records[made]
  return [
    "no order of what this account was asked explains what was answered and written:",
    ...told,
    ...left,
    ...(next === undefined ? [] : [`  is not explained: record ${tellRecord(next)}`]),
    ...shorten(differences.map((difference) => `  ${difference}`)),
  ].join("\n")
}

function tellAsked({ gateway, request, outcome }: Asked & { gateway: number }): string {
  const answer = typeof outcome === "string" ? outcome : describe(outcome)
  return `  gateway ${gateway}: ${shortOf(request.op)} ${tellRequest(request)} -> ${answer}`
}

function tellRequest(request: Request): string {
  const { verb, key } = request
  const keyed = key === null ? "" : `, key ${key.digest.slice(6).replaceAll("-", "")}`
  const amountFen = "amountFen" in request ? request.amountFen : null
  const amount = amountFen === null ? "" : ` ${amountFen} fen`
  const of = "hold" in request ? ` of ${shortOf(request.hold)}` : ""
  const call = verb === "hold" && request.isForwarded ? ", of a call" : ""
  return `${verb}${amount}${of}${call}${keyed}`
}

function describe({ status, ...more }: Readonly<Record<string, unknown>>): string {
  const told = Object.entries(more).filter(([name]) => name !== "atMs" && name !== "expiresAtMs")
  return [status, ...told.map(([name, value]) => `${name} ${shortOf(String(value))}`)].join(" ")
}

function tellRecord({ kind, amountFen, balanceAfterFen, cause }: Recorded): string {
  return `${kind} of ${amountFen} fen, balance ${balanceAfterFen}, caused by ${shortOf(cause)}`
}

function shortOf(op: string): string {
  return op.replace(/^op_.{6}_0*(?=\d)/, "#")
}

function shorten(lines: readonly string[]): string[] {
  if (lines.length <= LINES_MAX) return [...lines]
  return [`  (${lines.length - LINES_MAX} before)`, ...lines.slice(-LINES_MAX)]
}
