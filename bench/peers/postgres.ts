import postgres from "postgres"
import { createPeerApp, type PeerCall, type PeerOutcome } from "./app.ts"
import { setting } from "./setting.ts"

/**
 * Postgres alone decides and records: the same app, postgres.js with its prepared statements and a
 * pool, an UPDATE that only a balance that covers it lets through, and an INSERT. As a transaction
 * it is four round trips; PEER_MODE=statement does both in one statement, the best that it can be.
 */

/** From 8 to 64 connections the cost of a call differed no more than runs of the same do. */
const POOL = 16
const sql = postgres(setting("DATABASE_URL"), { max: POOL, onnotice: () => undefined })
const charge = setting("PEER_MODE") === "statement" ? inOneStatement : inTransaction
createPeerApp(charge).listen({ hostname: "127.0.0.1", port: Number(setting("PORT")) })

type Row = { balance: string; seq: number; at: Date }

async function inTransaction(call: PeerCall): Promise<PeerOutcome> {
  const { account, amountFen, interface: name, quantity, requestId, description } = call
  const taken = await sql.begin(async (transaction) => {
    const [row] = await transaction<Row[]>`
      update accounts set balance = balance - ${amountFen}, seq = seq + 1
      where id = ${account.id} and balance >= ${amountFen} returning balance, seq, now() as at
    `
    if (row === undefined) return null
    await transaction`
      insert into changes (account_id, seq, amount, after, key_id, interface, quantity, request_id,
        description, at)
      values (${account.id}, ${row.seq}, ${amountFen}, ${row.balance}, ${account.keyId}, ${name},
        ${quantity}, ${requestId}, ${description}, ${row.at})
    `
    return row
  })
  return taken === null ? short(account.id) : accepted(taken)
}

async function inOneStatement(call: PeerCall): Promise<PeerOutcome> {
  const { account, amountFen, interface: name, quantity, requestId, description } = call
  const [row] = await sql<Row[]>`
    with taken as (
      update accounts set balance = balance - ${amountFen}, seq = seq + 1
      where id = ${account.id} and balance >= ${amountFen} returning id, balance, seq
    )
    insert into changes (account_id, seq, amount, after, key_id, interface, quantity, request_id,
      description)
    select id, seq, ${amountFen}::bigint, balance, ${account.keyId}::text, ${name}::text,
      ${quantity}::integer, ${requestId}::text, ${description}::text from taken
    returning after as balance, seq, at
  `
  return row === undefined ? short(account.id) : accepted(row)
}

async function short(accountId: string): Promise<PeerOutcome> {
  const [row] = await sql<
    { balance: string }[]
  >`select balance from accounts where id = ${accountId}`
  return { status: "insufficient_balance", balanceFen: Number(row?.balance) }
}

function accepted({ balance, seq, at }: Row): PeerOutcome {
  return { status: "accepted", balanceFen: Number(balance), seq, at }
}
