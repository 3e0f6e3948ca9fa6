import type { Sql } from "../connection.ts"

/** An array literal per column: cheap to send, and one prepared statement serves all sizes. */
export type FlushColumns = {
  records: Record<
    | "accountIds"
    | "seqs"
    | "types"
    | "kinds"
    | "amounts"
    | "befores"
    | "afters"
    | "descriptions"
    | "atMs"
    | "interfaces"
    | "quantities"
    | "keyIds"
    | "sourceIds"
    | "requestIds"
    | "slots"
    | "batches",
    string
  >
  opened: Record<
    "accountIds" | "balances" | "seqs" | "instructions" | "authVersions" | "chainKeys",
    string
  >
  advanced: Record<
    | "accountIds"
    | "seqsBefore"
    | "balancesBefore"
    | "instructionsBefore"
    | "seqs"
    | "balances"
    | "instructions"
    | "authVersions",
    string
  >
  usage: Record<"accountIds" | "keyIds" | "interfaces" | "hourMs" | "calls" | "amounts", string>
  counters: Record<"kinds" | "credits" | "debits", string>
  instructions: Record<
    | "accountIds"
    | "numbers"
    | "kinds"
    | "amounts"
    | "authVersions"
    | "sourceIds"
    | "descriptions"
    | "atMs",
    string
  >
  /** Charges and captures of requests with an Idempotency-Key. */
  keyed: Record<
    "accountIds" | "seqs" | "atMs" | "digests" | "fingerprints" | "heldFen" | "told",
    string
  >
  /** Charges and captures that a revoke took back. */
  revoked: Record<"accountIds" | "seqs", string>
  /** Charges and captures whose answer a repeat of their request was given. */
  told: Record<"accountIds" | "seqs", string>
}

/** Between two entries of a stream: how many records came before, and the hash chain over them. */
type FlushEnd = { entryNumber: number; entryId: string; records: number; chainHead: string }

export type Flush = {
  partition: number
  generation: number
  from: FlushEnd
  to: FlushEnd
  recordCount: number
  openedCount: number
  advancedCount: number
  instructedCount: number
  columns: FlushColumns
}

/**
 * Writes one batch of a partition's stream: watermark and head of the hash chain, records, snapshots,
 * usage, counter-accounts, instructions and results of keyed requests, in one statement, because a
 * transaction of several can commit its later half alone when the connection dies inside it
 * (LIBRARIES, "Postgres").
 *
 * Callers may rely on: all of it or none. It happens only if the watermark stands at `from`; null
 * says that it does not, and nothing was written. An instruction that a restored Postgres has forgotten
 * is written as it was carried out, and its number is not given again: then alone a row of an account is
 * locked. Where a record is missing, doubled or out of order, the statement raises (SQLSTATE FG001 or
 * 23505), and nothing was written. After a lost connection the outcome is unknown: read the watermark.
 */
export async function flushBatch(sql: Sql, flush: Flush): Promise<{ records: number } | null> {
  const { partition, generation, from, to, recordCount } = flush
  const { openedCount, advancedCount, instructedCount } = flush
  const {
    records: r,
    opened: o,
    advanced: a,
    usage: u,
    counters: c,
    instructions: i,
    keyed: k,
    revoked: v,
    told: t,
  } = flush.columns
  const rows = await sql<{ records: string }[]>`
    with moved as (
      update partitions
      set entry_number = ${to.entryNumber}, entry_id = ${to.entryId},
        records = ${to.records}, chain_head = ${to.chainHead}, flushed_at = now()
      where partition = ${partition} and generation = ${generation}
        and entry_number = ${from.entryNumber} and entry_id = ${from.entryId}
        and records = ${from.records} and chain_head = ${from.chainHead}
      returning records
    ), inserted as (
      insert into change_records (account_id, seq, type, kind, amount_fen, balance_before_fen,
        balance_after_fen, description, at, interface, quantity, key_id, source_id, request_id,
        slot, batch, partition, position)
      select r.account_id, r.seq, r.type, r.kind, r.amount, r.before, r.after, r.description,
        timestamptz 'epoch' + r.at_ms * interval '1 millisecond', r.interface, r.quantity,
        r.key_id, r.source_id, r.request_id, r.slot, r.batch,
        ${partition}::integer, moved.records - ${recordCount}::bigint + r.place
      from moved, unnest(
        ${r.accountIds}::text::text[], ${r.seqs}::text::bigint[], ${r.types}::text::smallint[],
        ${r.kinds}::text::text[], ${r.amounts}::text::bigint[], ${r.befores}::text::bigint[],
        ${r.afters}::text::bigint[], ${r.descriptions}::text::text[], ${r.atMs}::text::bigint[],
        ${r.interfaces}::text::text[], ${r.quantities}::text::integer[],
        ${r.keyIds}::text::text[], ${r.sourceIds}::text::text[], ${r.requestIds}::text::text[],
        ${r.slots}::text::text[], ${r.batches}::text::bigint[]
      ) with ordinality as r(account_id, seq, type, kind, amount, before, after, description, at_ms,
        interface, quantity, key_id, source_id, request_id, slot, batch, place)
      returning 1
    ), opened as (
      insert into account_snapshots (account_id, partition, balance_fen, last_seq,
        instruction_number, auth_version, status, chain_key)
      select o.account_id, ${partition}::integer, o.balance, o.seq, o.instruction, o.auth_version,
        'open', o.chain_key
      from moved, unnest(
        ${o.accountIds}::text::text[], ${o.balances}::text::bigint[], ${o.seqs}::text::bigint[],
        ${o.instructions}::text::integer[], ${o.authVersions}::text::integer[],
        ${o.chainKeys}::text::text[]
      ) as o(account_id, balance, seq, instruction, auth_version, chain_key)
      returning 1
    ), advanced as (
      update account_snapshots s
      set balance_fen = a.balance, last_seq = a.seq,
        instruction_number = coalesce(a.instruction, s.instruction_number),
        auth_version = coalesce(a.auth_version, s.auth_version)
      from moved, unnest(
        ${a.accountIds}::text::text[], ${a.seqsBefore}::text::bigint[],
        ${a.balancesBefore}::text::bigint[], ${a.instructionsBefore}::text::integer[],
        ${a.seqs}::text::bigint[], ${a.balances}::text::bigint[],
        ${a.instructions}::text::integer[], ${a.authVersions}::text::integer[]
      ) as a(account_id, seq_before, balance_before, instruction_before, seq, balance, instruction,
        auth_version)
      where s.account_id = a.account_id and s.last_seq = a.seq_before
        and s.balance_fen = a.balance_before
        and s.instruction_number = coalesce(a.instruction_before, s.instruction_number)
      returning 1
    ), used as (
      insert into usage_hourly (account_id, key_id, interface, hour, calls, amount_fen)
      select u.account_id, u.key_id, u.interface,
        timestamptz 'epoch' + u.hour_ms * interval '1 millisecond', u.calls, u.amount
      from moved, unnest(
        ${u.accountIds}::text::text[], ${u.keyIds}::text::text[], ${u.interfaces}::text::text[],
        ${u.hourMs}::text::bigint[], ${u.calls}::text::bigint[], ${u.amounts}::text::bigint[]
      ) as u(account_id, key_id, interface, hour_ms, calls, amount)
      on conflict (account_id, hour, key_id, interface) do update
      set calls = usage_hourly.calls + excluded.calls,
        amount_fen = usage_hourly.amount_fen + excluded.amount_fen
    ), countered as (
      insert into counter_accounts (partition, kind, credit_fen, debit_fen)
      select ${partition}::integer, c.kind, c.credit, c.debit
      from moved, unnest(
        ${c.kinds}::text::text[], ${c.credits}::text::bigint[], ${c.debits}::text::bigint[]
      ) as c(kind, credit, debit)
      on conflict (partition, kind) do update
      set credit_fen = counter_accounts.credit_fen + excluded.credit_fen,
        debit_fen = counter_accounts.debit_fen + excluded.debit_fen
    ), instructed as (
      insert into instructions as known (account_id, number, kind, amount_fen, auth_version,
        source_id, description, created_at, flushed)
      select i.account_id, i.number, i.kind, i.amount, i.auth_version, i.source_id, i.description,
        timestamptz 'epoch' + i.at_ms * interval '1 millisecond', true
      from moved, unnest(
        ${i.accountIds}::text::text[], ${i.numbers}::text::integer[], ${i.kinds}::text::text[],
        ${i.amounts}::text::bigint[], ${i.authVersions}::text::integer[],
        ${i.sourceIds}::text::text[], ${i.descriptions}::text::text[], ${i.atMs}::text::bigint[]
      ) as i(account_id, number, kind, amount, auth_version, source_id, description, at_ms)
      on conflict (account_id, number) do update set flushed = true
      where known.source_id is not distinct from excluded.source_id
      returning account_id, number, auth_version, xmax = 0 as is_new
    ), risen as (
      update accounts a
      set last_instruction = greatest(a.last_instruction, n.number),
        auth_version = greatest(a.auth_version, n.auth_version)
      from (
        select account_id, max(number) as number, max(auth_version) as auth_version
        from instructed where is_new group by account_id
      ) n
      where a.id = n.account_id
    ), remembered as (
      insert into idempotency_results (account_id, seq, partition, at, digest, fingerprint, held_fen,
        told)
      select k.account_id, k.seq, ${partition}::integer,
        timestamptz 'epoch' + k.at_ms * interval '1 millisecond', k.digest, k.fingerprint, k.held,
        k.told
      from moved, unnest(
        ${k.accountIds}::text::text[], ${k.seqs}::text::bigint[], ${k.atMs}::text::bigint[],
        ${k.digests}::text::text[], ${k.fingerprints}::text::text[], ${k.heldFen}::text::bigint[],
        ${k.told}::text::boolean[]
      ) as k(account_id, seq, at_ms, digest, fingerprint, held, told)
    ), repeated as (
      update idempotency_results d set told = true
      from moved, unnest(${t.accountIds}::text::text[], ${t.seqs}::text::bigint[]) as t(account_id, seq)
      where d.account_id = t.account_id and d.seq = t.seq
        and not (d.account_id, d.seq) in (
          select * from unnest(${v.accountIds}::text::text[], ${v.seqs}::text::bigint[]))
    ), forgotten as (
      delete from idempotency_results d
      using moved, unnest(${v.accountIds}::text::text[], ${v.seqs}::text::bigint[]) as v(account_id, seq)
      where d.account_id = v.account_id and d.seq = v.seq
    )
    select moved.records,
      flush_must((select count(*) from inserted) = ${recordCount}, 'each record is inserted once'),
      flush_must((select count(*) from opened) = ${openedCount}, 'each account is opened once'),
      flush_must((select count(*) from instructed) = ${instructedCount},
        'each instruction has one cause'),
      flush_must((select count(*) from advanced) = ${advancedCount},
        'each account continues from its last record, balance and instruction')
    from moved
  `
  const [row] = rows
  return row === undefined ? null : { records: Number(row.records) }
}
