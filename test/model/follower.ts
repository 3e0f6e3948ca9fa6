import type { LedgerRecord } from "../../src/ledger/records.ts"
import type { HoldState, Result as StoredResult } from "../support/packed.ts"
import { type Asking, type createClients, nameIn, type Owner, opIn } from "./clients.ts"
import { differencesOf, type Look, linearise, type Outcome, type Recorded } from "./linearise.ts"
import type { Eye, Found } from "./look.ts"
import type { Account, Answer, Hold, Instruction } from "./model.ts"
import { type Story, tellStory } from "./story.ts"

export type Told = {
  step: number
  asked: readonly Asking[]
  /** By the operation. */
  answers: ReadonlyMap<string, Answer>
  fromMs: number
}

/** Redis's clock is this machine's; both are read in whole milliseconds. */
const CLOCK_SLACK_MS = 2
const GATEWAYS = [0, 1]

/**
 * Brings the model to where the real system is: reads Redis once everything is settled, and looks for an
 * order of what was asked that explains it. Throws where there is none.
 */
export function createFollower({
  owners,
  eye,
  clients,
}: {
  owners: readonly Owner[]
  eye: Eye
  clients: ReturnType<typeof createClients>
}) {
  const { opOfName, nameOfOp } = clients
  /** Those that were committed, by account and number. */
  const instructions = new Map<string, Instruction>()
  const stories = owners.map((): Story[] => [])
  return { follow, ordered }

  function ordered(owner: Owner, instruction: Instruction): void {
    instructions.set(`${owner.id} ${instruction.number}`, instruction)
  }

  /** Answers what each operation was told, as the model would say it. */
  async function follow({ step, asked, answers, fromMs }: Told): Promise<Map<string, Outcome>> {
    for (const each of asked) clients.learn(each, answers.get(each.request.op))
    const found = await look(asked, answers)
    const outcomes = new Map<string, Outcome>()
    for (const { request } of asked) outcomes.set(request.op, clients.read(answers.get(request.op)))
    for (const [place, owner] of owners.entries()) {
      const ours = asked
        .filter((each) => each.owner === place)
        .map(({ gateway, request }) => {
          return { gateway, request, outcome: outcomes.get(request.op) ?? "lost" }
        })
      const history = {
        ...{ fromMs: fromMs - CLOCK_SLACK_MS, toMs: Date.now() + CLOCK_SLACK_MS },
        lanes: GATEWAYS.map((lane) => ours.filter(({ gateway }) => gateway === lane)),
        records: found.records.flatMap(({ record, atMs }) =>
          record.accountId === owner.id ? recordedOf(record, atMs) : [],
        ),
        look: lookAt(owner, found),
      }
      const order = linearise(owner.account, history)
      const story = { step, asked: ours, records: history.records }
      if (order.status === "none") {
        const differences = [...differencesOf(order.account, history.look)]
        throw new Error(tellStory([...(stories[place] ?? []), story], { ...order, differences }))
      }
      stories[place]?.push(story)
      owner.account = order.end
    }
    return outcomes
  }

  /** Twice where it shows holds whose names nobody was told: they say themselves who made them. */
  async function look(asked: readonly Asking[], answers: Told["answers"]): Promise<Found> {
    const accountIds = owners.map(({ id }) => id)
    const holds = owners.flatMap(({ account }) => namesOf(account))
    holds.push(...asked.flatMap(({ request }) => nameOfOp.get(request.op) ?? []))
    const results = owners.flatMap(({ id, account }, place) => {
      const named = asked.filter(({ owner }) => owner === place)
      const digests = named.flatMap(({ request }) => request.key?.digest ?? [])
      const all = new Set([...account.results.keys(), ...digests])
      return [...all].map((digest) => ({ digest, accountId: id }))
    })
    const wanted = { accountIds, holds: [...new Set(holds)], results }
    const first = await eye.look(wanted)
    const names = new Set<string>()
    for (const { status, holdId } of answers.values()) {
      if (status === "held") names.add(nameIn(String(holdId)))
    }
    for (const { result } of first.results.values()) {
      if (result?.state === "held") names.add(result.tail)
    }
    if (asked.some(({ request: { verb, op } }) => verb === "hold" && !isTold(answers.get(op)))) {
      for (const name of await eye.listHolds(accountIds)) names.add(name)
    }
    const unknown = [...names].filter((name) => !opOfName.has(name))
    if (unknown.length === 0) return first
    const second = await eye.look({ ...wanted, holds: [...wanted.holds, ...unknown] })
    for (const name of unknown) {
      const hold = second.holds.get(name)
      if (hold) clients.bind(name, opIn(hold.details))
    }
    return { ...second, records: [...first.records, ...second.records] }
  }

  /** Of the holds that may still be there. */
  function namesOf({ holds }: Account): string[] {
    return [...holds].flatMap(([op, { state }]) =>
      state === "lost" ? [] : (nameOfOp.get(op) ?? []),
    )
  }

  function lookAt({ id }: Owner, found: Found): Look {
    const state = found.accounts.get(id)
    if (state === undefined) throw new Error(`${id} was not looked for`)
    const holds: Look["holds"] = new Map(
      [...found.holds].flatMap(([name, hold]) => {
        const op = opOfName.get(name)
        if (op === undefined || !name.startsWith(id.slice("acct_".length))) return []
        const { amountFen = 0, expiresAtMs = null } = hold ?? {}
        return [[op, { name, state: stateOf(hold), amountFen, expiresAtMs }] as const]
      }),
    )
    const results: Look["results"] = new Map(
      [...found.results].flatMap(([digest, { accountId, result }]) =>
        accountId === id && result !== null ? [[digest, storedOf(result)] as const] : [],
      ),
    )
    return { ...state, holds, results }
  }

  function storedOf({ state, number: seq, tail, ...result }: StoredResult) {
    if (state === "") throw new Error("a stored result has no state")
    return { ...result, state, seq, hold: state === "held" ? (opOfName.get(tail) ?? tail) : null }
  }

  /** None where it only says that a charge was told again. */
  function recordedOf(record: LedgerRecord, atMs: number): Recorded[] {
    const { kind, accountId, amountFen, balanceAfterFen, requestId, revokedSeq } = record
    const number = record.instruction?.number ?? null
    const order = number === null ? null : (instructions.get(`${accountId} ${number}`) ?? null)
    const made = { amountFen, balanceAfterFen, atMs, instruction: order }
    if (kind === "told") return []
    if (kind === "charge" || kind === "capture") return [{ ...made, kind, cause: requestId ?? "" }]
    if (kind === "reversal") return [{ ...made, kind, cause: String(revokedSeq) }]
    const isOrdered = order?.kind === kind && (record.sourceId ?? "") === order.cause
    if (!isOrdered) throw new Error(`nobody ordered ${JSON.stringify(record)}`)
    return [{ ...made, kind: order.kind, cause: order.cause }]
  }
}

function stateOf(hold: HoldState | null): Hold["state"] {
  if (hold === null) return "gone"
  if (hold.state === "") throw new Error("a hold has no state")
  return hold.state
}

function isTold(answer: Answer | undefined): boolean {
  return answer !== undefined && answer.status !== "unavailable"
}
