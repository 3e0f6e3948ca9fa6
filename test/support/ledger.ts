import { afterAll, afterEach, beforeAll, expect } from "bun:test"
import type { Redis } from "ioredis"
import { anchorsDirOf } from "../../src/flusher/anchors.ts"
import { startFlusherProcess } from "../../src/flusher/process.ts"
import { type AccountId, newAccountId, newId, partitionOf, randomChars } from "../../src/ids.ts"
import { connectNodes, type RedisNodes } from "../../src/ledger/cluster.ts"
import type { ChargeOutcome } from "../../src/ledger/items.ts"
import { createLedger, type Ledger } from "../../src/ledger/ledger.ts"
import type { InstructionKind } from "../../src/ledger/records.ts"
import { connected } from "../../src/ledger/redis.ts"
import { fen } from "../../src/money.ts"
import { type Audit, auditBooks } from "../../src/reconcile/audit.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { chargeOf, detailsOf } from "./details.ts"
import { eventually } from "./eventually.ts"
import { type Stores, startStores } from "./stores.ts"

/** A ledger as a gateway has it, with its keeper and its flusher, on stores of its own. */
export type TestLedger = {
  stores: Stores
  ledger: Ledger
  /** A connection past every relay, to look at keys and to break them. */
  nodes: RedisNodes
  /** The node of partition 0. */
  redis: Redis
  /** What every part has logged. */
  log: string[]
  openAccount(account: NewAccount): Promise<AccountId>
  /** Commits one more instruction of the account, and does not apply it. */
  instruct(
    accountId: AccountId,
    instruction: NewInstruction,
  ): Promise<{ number: number; sourceId: string }>
  charge(accountId: AccountId, amountFen: number, options?: ChargeOptions): Promise<ChargeOutcome>
  /**
   * A charge as a client makes it, who comes again when he is told 503: on a machine that stalls for
   * longer than a batch may take, one attempt may be unavailable and put back.
   */
  pay(accountId: AccountId, amountFen: number, options?: ChargeOptions): Promise<ChargeOutcome>
  /** One more flusher process, which the test stops. */
  /** Whoever opens the ledger from then on does it by hand. */
  stopKeeper(): Promise<void>
  startFlusher(redisUrl?: string): Promise<{ stop(): Promise<void> }>
  /** Asserts that the books, recomputed from nothing, have no finding. */
  books(): Promise<Audit>
  stop(): Promise<void>
}

type NewInstruction = {
  kind: InstructionKind
  amountFen?: number
  authVersion?: number
  ageMs?: number
  sourceId?: string
}
type NewAccount = { balanceFen: number; partition?: number }
type ChargeOptions = { authVersion?: number; details?: string; requestId?: string }

export type LedgerOptions = {
  /** Where the gateway finds Redis: a relay's URL. */
  redisUrl?: string
  /** False: none. Otherwise where it finds its stores. */
  flusher?: false | { redisUrl?: string; databaseUrl?: string }
}

export async function startLedger(
  stores: Stores,
  options: LedgerOptions = {},
): Promise<TestLedger> {
  const log: string[] = []
  const note = (line: string) => void log.push(line)
  const { redisUrl, databaseUrl, partitions, sql, dataDir } = stores
  const keeper = await startKeeper({ redisUrl, databaseUrl, partitions, log: note })
  const flusher =
    options.flusher === false
      ? null
      : await startFlusherProcess({ redisUrl, databaseUrl, dataDir, ...options.flusher }, note)
  const ledger = await createLedger({
    redisUrl: options.redisUrl ?? redisUrl,
    sql,
    dataDir,
    onBatch: () => undefined,
    log: note,
  })
  const times = { commandTimeoutMs: 5_000, timeoutMs: 5_000 }
  const nodes = await connectNodes(redisUrl, { name: "test", ...times })
  await ready(ledger)

  return {
    ...{ stores, ledger, nodes, redis: nodes.of(0), log, openAccount },
    instruct: (accountId, instruction) => instruct(stores, accountId, instruction),
    charge: (accountId, amountFen, chargeOptions) =>
      charge(ledger, accountId, amountFen, chargeOptions),
    pay: (accountId, amountFen, chargeOptions) =>
      eventually(async () => {
        const outcome = await charge(ledger, accountId, amountFen, chargeOptions)
        return outcome.status !== "unavailable" && outcome
      }).then((outcome) => outcome || { status: "unavailable" }),
    stopKeeper: keeper.stop,
    startFlusher: (url = redisUrl) =>
      startFlusherProcess({ redisUrl: url, databaseUrl, dataDir }, note),
    books,
    stop,
  }

  async function openAccount({ balanceFen, partition }: NewAccount): Promise<AccountId> {
    let accountId = newAccountId()
    while (partition !== undefined && partitionOf(accountId, partitions) !== partition) {
      accountId = newAccountId()
    }
    await insertAccount(stores, accountId)
    if (balanceFen > 0)
      await instruct(stores, accountId, { kind: "redemption", amountFen: balanceFen })
    const outcome = await ledger.applyPending(accountId)
    expect(outcome).toMatchObject({ status: "applied", account: { balanceFen } })
    return accountId
  }

  async function books(): Promise<Audit> {
    // A test may have stopped Redis a moment ago.
    await Promise.allSettled(nodes.all().map((node) => connected(node, 5_000)))
    const audit = await auditBooks({ sql, redis: nodes, anchorsDir: anchorsDirOf(dataDir) })
    expect(audit.findings).toEqual([])
    expect(audit.creditsFen - audit.debitsFen).toBe(audit.balancesFen)
    return audit
  }

  async function stop(): Promise<void> {
    await ledger.stop()
    await flusher?.stop()
    await keeper.stop()
    nodes.disconnect()
  }
}

export async function ready(ledger: Ledger): Promise<void> {
  await eventually(async () => expect(await ledger.health()).toEqual({ status: "ready" }))
}

/** A row of the account, and its instruction 1. */
export async function insertAccount(
  { sql }: Pick<Stores, "sql">,
  accountId: AccountId,
): Promise<void> {
  await sql`
    insert into accounts (id, email, password_hash, invite_code)
    values (${accountId}, ${accountId}, 'none', ${accountId})
  `
  await sql`
    insert into instructions (account_id, number, kind, auth_version, description)
    values (${accountId}, 1, 'open', 1, replace(gen_random_uuid()::text, '-', ''))
  `
}

export async function instruct(
  { sql }: Pick<Stores, "sql">,
  accountId: AccountId,
  { kind, amountFen = 0, authVersion = 0, ageMs = 0, sourceId = newId("rdm") }: NewInstruction,
): Promise<{ number: number; sourceId: string }> {
  const [row] = await sql<{ number: number }[]>`
    with numbered as (
      update accounts set last_instruction = last_instruction + 1 where id = ${accountId}
      returning last_instruction
    ), code as (
      insert into redemption_codes (id, code, amount_fen, used)
      select ${sourceId}, ${sourceId}, ${amountFen}, 1 where ${kind}::text = 'redemption' returning id
    ), redeemed as (
      insert into redemptions (id, code_id, account_id, amount_fen)
      select id, id, ${accountId}::text, ${amountFen}::bigint from code
    )
    insert into instructions (account_id, number, kind, amount_fen, auth_version, source_id, description, created_at)
    select ${accountId}, last_instruction, ${kind}, ${amountFen}, ${authVersion}, ${sourceId}, 'from a test',
      now() - ${ageMs} * interval '1 millisecond'
    from numbered returning number
  `
  if (row === undefined) throw new Error(`no account ${accountId}`)
  return { number: row.number, sourceId }
}

function charge(
  ledger: Ledger,
  accountId: AccountId,
  amountFen: number,
  { authVersion = 1, requestId, details }: ChargeOptions = {},
): Promise<ChargeOutcome> {
  const given = details ?? detailsOf({ requestId: requestId ?? `req_${randomChars(8)}` })
  return ledger.charge(
    chargeOf({ accountId, amountFen: fen(amountFen), authVersion, details: given }),
  )
}

/** One ledger for the tests of a file; after each of them the books of all accounts are recomputed. */
export function useLedger(options: LedgerOptions & { partitions?: number } = {}): () => TestLedger {
  let started: TestLedger | null = null
  const current = (): TestLedger => {
    if (started === null) throw new Error("the ledger is there only while tests run")
    return started
  }
  beforeAll(async () => {
    started = await startLedger(await startStores(options), options)
  })
  afterEach(async () => {
    await current().books()
  })
  afterAll(async () => {
    await started?.stop()
    await started?.stores.stop()
  })
  return current
}

/** Stores and a ledger for one test that breaks them. At its end the books are recomputed. */
export async function withLedger(
  options: LedgerOptions & { partitions?: number },
  run: (test: TestLedger) => Promise<void>,
): Promise<void> {
  await withStores(options, async (stores) => {
    const test = await startLedger(stores, options)
    await run(test)
    await test.books()
    await test.stop()
  })
}

export async function withStores(
  options: { partitions?: number },
  run: (stores: Stores) => Promise<void>,
): Promise<void> {
  const stores = await startStores(options)
  try {
    await run(stores)
  } finally {
    await stores.stop()
  }
}
