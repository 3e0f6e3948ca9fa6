import { type AccountId, newAccountId, newId } from "../../src/ids.ts"
import { auditBooks } from "../../src/reconcile/audit.ts"
import { eventually } from "../support/eventually.ts"
import { instruct as commit, insertAccount } from "../support/ledger.ts"
import { type Asking, createClients, type Owner } from "./clients.ts"
import { createFollower } from "./follower.ts"
import { openEye } from "./look.ts"
import { type Answer, type Instruction, instruct, NOBODY, rebuild } from "./model.ts"
import { ACCOUNTS, type Operation, type Scenario, type Step } from "./operations.ts"
import type { System } from "./system.ts"
import type { Tally } from "./tally.ts"
import { judge, type Told } from "./verdict.ts"

type Ordered = Operation & { verb: "credit" | "revoke" }

/**
 * A scenario on the real system and on the model, with accounts of its own. After each step everything
 * is settled, and the model follows; at the end the books of these accounts are recomputed, and every
 * request is compared with the record.
 */
export async function runScenario(system: System, scenario: Scenario, tally: Tally): Promise<void> {
  const balances = Array.from({ length: ACCOUNTS }, (_, i) => scenario.balancesFen[i] ?? 0)
  const owners = await Promise.all(balances.map((balanceFen) => openOwner(system, balanceFen)))
  const world = await createWorld(system, owners, tally)
  for (const step of scenario.steps) await world.take(step)
  await world.finish()
}

async function openOwner(system: System, amountFen: number): Promise<Owner> {
  const id = newAccountId()
  await insertAccount(system, id)
  const owner: Owner = { id, account: NOBODY, instruction: 1, authVersion: 1 }
  if (amountFen > 0) {
    const order = { kind: "redemption", amountFen, authVersion: 0, cause: newId("rdm") } as const
    const { number } = await commit(system, id, { ...order, sourceId: order.cause })
    owner.account = instruct(NOBODY, { ...order, number }).account
    owner.instruction = number
  }
  await applied(system, id)
  return owner
}

async function applied({ gateways }: System, id: AccountId): Promise<void> {
  await eventually(async () => (await gateways[0].apply(id))?.status === "applied")
}

async function createWorld(system: System, owners: readonly Owner[], tally: Tally) {
  const eye = await openEye(system.redis, system.partitions)
  const clients = createClients(owners)
  const { follow, ordered } = createFollower({ owners, eye, clients })
  const told: Told[] = []
  let steps = 0
  return { take, finish }

  async function take(step: Step): Promise<void> {
    const { fault, operations, wave } = step
    const isWipe = fault?.fault === "wipe" || fault?.fault === "wipe_and_restart"
    if (isWipe) await quiet()
    const fromMs = Date.now()
    const asked: Asking[] = []
    const orders: Ordered[] = []
    for (const operation of isWipe ? [] : operations) {
      if (operation.verb === "credit" || operation.verb === "revoke") orders.push(operation)
      else asked.push(...clients.ask(operation))
    }
    const answering = system.gateways.map((gateway, lane) =>
      gateway.ask(
        asked.filter((each) => each.gateway === lane),
        wave,
      ),
    )
    const ordering = orders.map(order)
    if (fault !== null) {
      tally.struck(fault)
      await Bun.sleep(step.afterMs)
      await system.strike(fault)
    }
    if (isWipe) for (const owner of owners) owner.account = rebuild(owner.account)
    const answers = new Map((await Promise.all(answering)).flatMap((part) => [...part]))
    await Promise.all(ordering)
    if (fault !== null || !isQuiet(asked, answers)) await system.recovered()
    await settle(asked, answers, fromMs)
  }

  async function settle(
    asked: readonly Asking[],
    answers: ReadonlyMap<string, Answer>,
    fromMs: number,
  ): Promise<void> {
    const outcomes = await follow({ step: ++steps, asked, answers, fromMs })
    for (const { request, accountId } of asked) {
      const outcome = outcomes.get(request.op) ?? "lost"
      tally.asked(request, outcome)
      told.push({ request, outcome, accountId })
    }
  }

  /** Every order is carried out, and Postgres has everything: whatever Redis loses then is only holds. */
  async function quiet(): Promise<void> {
    // What a request could not apply, the sweep would; this asks for it at once.
    const late = owners.filter(({ account, instruction }) => account.instruction < instruction)
    await Promise.all(late.map(({ id }) => applied(system, id)))
    await settle([], new Map(), Date.now())
    await system.flushed()
  }

  async function order({ verb, gateway, ...operation }: Ordered): Promise<void> {
    const owner = owners[operation.account]
    if (owner === undefined) throw new Error(`there is no account ${operation.account}`)
    tally.ordered(verb)
    const cause = newId("rdm")
    const made =
      "amountFen" in operation
        ? ({ kind: "redemption", amountFen: operation.amountFen, authVersion: 0 } as const)
        : ({ kind: "auth_version", amountFen: 0, authVersion: ++owner.authVersion } as const)
    const number = await numberOf(owner.id, { ...made, cause })
    if (number === null) return
    ordered(owner, { ...made, cause, number })
    owner.instruction = Math.max(owner.instruction, number)
    await system.gateways[gateway === 0 ? 0 : 1].apply(owner.id)
  }

  /** Null: Postgres was away, and it is not committed. */
  async function numberOf(
    id: AccountId,
    { cause: sourceId, ...made }: Omit<Instruction, "number">,
  ): Promise<number | null> {
    const committed = await commit(system, id, { ...made, sourceId }).catch(() => null)
    if (committed !== null) return committed.number
    const [row] = await eventually(
      () => system.sql<{ number: number }[]>`
        select number from instructions where account_id = ${id} and source_id = ${sourceId}`,
    )
    return row?.number ?? null
  }

  async function finish(): Promise<void> {
    await quiet()
    const { sql, nodes: redis, partitions } = system
    const { findings } = await auditBooks({ sql, redis, partitions })
    if (findings.length > 0) throw new Error(`the books have findings:\n${findings.join("\n")}`)
    tally.judged(await judge(sql, told, owners))
  }
}

function isQuiet(asked: readonly Asking[], answers: ReadonlyMap<string, Answer>): boolean {
  return asked.every(({ request }) => (answers.get(request.op)?.status ?? "") !== "unavailable")
}
