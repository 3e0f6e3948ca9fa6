import { expect, setDefaultTimeout, test } from "bun:test"
import { metaKey } from "../src/ledger/keys.ts"
import { connected, connectRedis } from "../src/ledger/redis.ts"
import { decodeMeta } from "../src/ledger/states.ts"
import { UNFLUSHED_RECORDS_MAX } from "../src/limits.ts"
import { newDeveloper } from "./support/developer.ts"
import { eventually } from "./support/eventually.ts"
import { type Relay, startRelay } from "./support/relay.ts"
import { encodeMeta } from "./support/scripts.ts"
import { useSystem } from "./support/system.ts"

setDefaultTimeout(60_000)

/** Charges go on without Postgres while the stream has room, and everything is written afterwards. */

const BALANCE_FEN = 1_000

let between: Relay | null = null
const system = useSystem({
  async through({ databasePort, databaseUrl }) {
    between = await startRelay(databasePort)
    return { databaseUrl: between.through(databaseUrl) }
  },
})

function relay(): Relay {
  if (between === null) throw new Error("the relay is there only while tests run")
  return between
}

test("while Postgres is away known keys are charged up to the stream's bound, then refused, and nothing is lost", async () => {
  const [known, unseen] = [
    await newDeveloper(system(), { balanceFen: BALANCE_FEN }),
    await newDeveloper(system(), { balanceFen: BALANCE_FEN }),
  ]
  await eventually(async () => expect((await known.charge()).status).toBe(200))
  const held = await hold(known.key)
  expect(held.status).toBe(201)
  await system().booksBalance()
  const flushed = await flushedRecords()
  relay().refuse()

  let paid = 1
  while (paid < 100) if ((await known.charge()).status === 200) paid++
  const refused = await unseen.charge()
  expect([refused.status, refused.body.code]).toEqual([503, "billing_unavailable"])
  const readiness = await system().request("GET", "/readyz?verbose")
  expect([readiness.status, readiness.body.postgres]).toEqual([200, "unreachable"])
  expect(await flushedRecords()).toBe(flushed)

  await moveWritten(UNFLUSHED_RECORDS_MAX)
  for (const answer of [await known.charge(), await hold(known.key)]) {
    expect([answer.status, answer.body.code]).toEqual([503, "billing_unavailable"])
  }
  // The upstream of a capture has run: there is room for those.
  const captured = await system().request("POST", `/v1/holds/${held.body.holdId}/capture`, {
    token: known.key,
  })
  expect(captured.status).toBe(200)
  await moveWritten(-UNFLUSHED_RECORDS_MAX)

  relay().accept()
  await eventually(async () => expect((await unseen.charge()).status).toBe(200))
  await system().booksBalance()
  const [row] = await system().sql`
    select count(*)::integer as records, sum(amount_fen)::integer as "paidFen" from change_records
    where account_id = ${known.accountId} and type = 2
      and seq not in (select split_part(source_id, '_', 4)::bigint from change_records
        where account_id = ${known.accountId} and kind = 'reversal')
  `
  expect(row).toEqual({ records: paid + 1, paidFen: paid + 1 })
  expect((await known.balance()).body).toMatchObject({
    balanceFen: BALANCE_FEN - paid - 1,
    heldFen: 0,
  })
})

function hold(token: string) {
  return system().request("POST", "/v1/holds", { token, body: { interface: "user.login" } })
}

async function flushedRecords(): Promise<number> {
  const [row] = await system().sql`select sum(records)::integer as records from partitions`
  return row?.records
}

/** As if so many records more had been written that Postgres does not have. */
async function moveWritten(records: number): Promise<void> {
  const redis = connectRedis(system().stores.redisUrl, { name: "test", commandTimeoutMs: 5_000 })
  await connected(redis, 5_000)
  const bytes = await redis.getBuffer(metaKey(0))
  if (bytes === null) throw new Error("there is no meta")
  const meta = decodeMeta(bytes)
  await redis.set(metaKey(0), encodeMeta({ ...meta, written: meta.written + records }))
  redis.disconnect()
}
