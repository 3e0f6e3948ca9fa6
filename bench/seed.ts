import type { Redis } from "ioredis"
import type { Sql } from "../db/connection.ts"
import { type AccountId, hashCredential, newAccountId, newCredential, newId } from "../src/ids.ts"
import { readLag } from "./lag.ts"

export type Account = { id: AccountId; key: string; creditFen: number }

const SEED_TIMEOUT_MS = 60_000

/**
 * Makes accounts as registration and redemption would leave them, but with one statement a table.
 * Their instructions are dated back, so that the flusher's sweep applies them at its next turn.
 */
export async function seedAccounts(
  sql: Sql,
  { count, creditFen }: { count: number; creditFen: number },
): Promise<Account[]> {
  const accounts = Array.from({ length: count }, () => {
    const id = newAccountId()
    return { id, key: newCredential("fk", id), creditFen }
  })
  const ids = literal(accounts.map(({ id }) => id))
  const instructions = creditFen > 0 ? 2 : 1
  await sql`
    insert into accounts (id, email, password_hash, invite_code, last_instruction)
    select id, id || '@bench.invalid', 'none', id, ${instructions}::integer
    from unnest(${ids}::text::text[]) id
  `
  await sql`
    insert into api_keys (id, account_id, name, key_hash)
    select * from unnest(
      ${literal(accounts.map(() => newId("key")))}::text::text[], ${ids}::text::text[],
      ${literal(accounts.map(() => "bench"))}::text::text[],
      ${literal(accounts.map(({ key }) => hashCredential(key)))}::text::text[]
    )
  `
  await sql`
    with made as (
      select id, number, kind, auth_version, amount, description, replace(id, 'acct_', 'rdm_') as source
      from unnest(${ids}::text::text[]) id, (values
        (1, 'open', 1, 0, ''), (2, 'redemption', 0, ${creditFen}::bigint, 'Benchmark')
      ) as made(number, kind, auth_version, amount, description)
      where number <= ${instructions}::integer
    ), code as (
      insert into redemption_codes (id, code, amount_fen)
      select 'code_benchmark', 'BENCHMARK', greatest(1, ${creditFen}::bigint) on conflict do nothing
    ), redeemed as (
      insert into redemptions (id, code_id, account_id, amount_fen)
      select source, 'code_benchmark', id, amount from made where kind = 'redemption'
    )
    insert into instructions (account_id, number, kind, auth_version, amount_fen, description,
      source_id, created_at)
    select id, number, kind, auth_version, amount, description,
      case kind when 'redemption' then source end, now() - interval '1 hour'
    from made
  `
  return accounts
}

/** Resolves once every instruction is applied, and Postgres has what came of it. */
export async function seeded({ sql, redis }: { sql: Sql; redis: Redis }): Promise<void> {
  const deadlineAt = performance.now() + SEED_TIMEOUT_MS
  while (performance.now() < deadlineAt) {
    const open = await sql`select 1 from instructions where not flushed limit 1`
    if (open.length === 0 && (await readLag(redis)).records === 0) return
    await Bun.sleep(50)
  }
  throw new Error(`the accounts were not ready within ${SEED_TIMEOUT_MS} ms`)
}

/** Ids, keys and hashes need no quotes in a Postgres array. */
function literal(texts: readonly string[]): string {
  return `{${texts.join(",")}}`
}
