import { expect, setDefaultTimeout, test } from "bun:test"
import { type AccountId, chargeId } from "../../src/ids.ts"
import type { ChargeOutcome } from "../../src/ledger/items.ts"
import { startLedger, type TestLedger, withStores } from "../support/ledger.ts"
import { type Relay, startRelay } from "../support/relay.ts"

setDefaultTimeout(30_000)

/** Connections that are cut at random, under load; then what clients were told against Postgres. */

const CHARGES = 5_000
const WORKERS = 40
const CUTS = 20
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

type Told = { requestId: string; accountId: AccountId; outcome: ChargeOutcome }

test(`after ${CUTS} random cuts every one of ${CHARGES} charges is as its client was told (SEED=${SEED})`, async () => {
  await withStores({ partitions: 2 }, async (stores) => {
    const relay = await startRelay(stores.redisPort)
    const t = await startLedger(stores, { redisUrl: relay.through(stores.redisUrl) })
    const accounts = await Promise.all(
      [400, 1_000, 100_000, 100_000].map((balanceFen) => t.openAccount({ balanceFen })),
    )
    const random = randomFrom(SEED)
    const log: Told[] = []
    const cuts = new Set(Array.from({ length: CUTS }, () => Math.floor(random() * CHARGES * 0.98)))
    let sent = 0
    const worker = async (): Promise<void> => {
      while (sent < CHARGES) {
        const number = sent++
        if (cuts.has(number)) cut(relay, random())
        const accountId = accounts[Math.floor(random() * accounts.length)]
        if (accountId === undefined) throw new Error("no account")
        const requestId = `req_${number}`
        const outcome = await t.charge(accountId, 1 + Math.floor(random() * 3), { requestId })
        log.push({ requestId, accountId, outcome })
        // As a client does that was told Retry-After.
        if (outcome.status === "unavailable") await Bun.sleep(50)
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, worker))
    await t.books()
    const verdict = await compare(t, log)
    console.log(JSON.stringify({ seed: SEED, ...verdict, connections: relay.counts().connections }))
    expect(verdict).toMatchObject({
      lost: 0,
      duplicated: 0,
      phantom: 0,
      refusedCharged: 0,
      wrongAnswers: 0,
    })
    expect(verdict.done).toBeGreaterThan(CHARGES / 10)
    await t.stop()
    await relay.stop()
  })
}, 60_000)

/** One of the ways in which a network fails. */
function cut(relay: Relay, chance: number): void {
  if (chance < 0.35) void relay.cutBeforeReplyTo("key_test")
  else if (chance < 0.7) relay.cutAll()
  else if (chance < 0.85) {
    // Later than a batch may be: it is revoked.
    relay.holdReplies()
    setTimeout(relay.release, 300)
  } else {
    relay.holdRequests()
    relay.cutClients()
    relay.release()
  }
}

/** Each request against its records: what is there, and has not been put back. */
async function compare({ stores }: TestLedger, log: readonly Told[]) {
  type Row = {
    requestId: string
    accountId: AccountId
    seq: string
    balance: string
    at: Date
    reversals: string
  }
  const rows = await stores.sql<Row[]>`
    select request_id as "requestId", account_id as "accountId", seq, balance_after_fen as balance, at,
      (select count(*) from change_records v where v.account_id = c.account_id and v.kind = 'reversal'
        and v.source_id = (select charge_id from reporting.change_records r
          where r.account_id = c.account_id and r.seq = c.seq)) as reversals
    from change_records c where kind = 'charge'
  `
  const found = Map.groupBy(rows, (row) => row.requestId)
  const verdict = {
    done: 0,
    refused: 0,
    unknown: 0,
    reversed: 0,
    lost: 0,
    duplicated: 0,
    phantom: 0,
    refusedCharged: 0,
    wrongAnswers: 0,
  }
  for (const { requestId, accountId, outcome } of log) {
    const records = found.get(requestId) ?? []
    found.delete(requestId)
    const standing = records.filter(({ reversals }) => reversals === "0")
    verdict.reversed += records.length - standing.length
    if (records.length > 1) verdict.duplicated++
    if (records.some(({ reversals }) => Number(reversals) > 1)) verdict.wrongAnswers++
    if (outcome.status === "accepted") {
      verdict.done++
      const [record] = standing
      if (record === undefined) verdict.lost++
      else if (
        chargeId({ ...record, seq: Number(record.seq) }) !==
        chargeId({ accountId, seq: outcome.seq, at: new Date(outcome.atMs) })
      )
        verdict.wrongAnswers++
      else if (record.balance !== String(outcome.balanceFen)) verdict.wrongAnswers++
    } else {
      verdict[outcome.status === "unavailable" ? "unknown" : "refused"]++
      if (standing.length > 0) verdict.refusedCharged++
    }
  }
  return { ...verdict, phantom: found.size }
}

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
