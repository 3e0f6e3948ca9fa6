import type { Sql } from "../connection.ts"

export type CountedAttempt = { count: number; secondsLeft: number }

/** The end of an `insert into attempts as a`: one more in its window, or the first of a new one. */
export function orOneMore(sql: Sql) {
  return sql`on conflict (key) do update set
    count = case when a.window_ends_at <= now() then 1 else a.count + 1 end,
    window_ends_at =
      case when a.window_ends_at <= now() then excluded.window_ends_at else a.window_ends_at end`
}

/** What is left of a window as of the answer: a statement may have waited for that of another attempt. */
export function secondsLeft(sql: Sql) {
  return sql`ceil(extract(epoch from window_ends_at - clock_timestamp()))::integer`
}

/**
 * Counts one attempt under a key, in a window that begins with the first.
 * Callers may rely on: the counter is shared by all gateways, and of attempts at the same time each
 * gets another number. Counters whose window ended long ago are swept up, a few at a time.
 */
export async function countAttempt(
  sql: Sql,
  { key, windowMs }: { key: string; windowMs: number },
): Promise<CountedAttempt> {
  const [row] = await sql<CountedAttempt[]>`
    with swept as (
      delete from attempts where ctid = any (array(
        select ctid from attempts
        where window_ends_at < now() - interval '1 hour' and key <> ${key}
        limit 10 for update skip locked))
    )
    insert into attempts as a (key, count, window_ends_at)
    values (${key}, 1, now() + ${windowMs}::bigint * interval '1 millisecond')
    ${orOneMore(sql)}
    returning count, ${secondsLeft(sql)} as "secondsLeft"
  `
  if (row === undefined) throw new Error("an upsert returned no row")
  return row
}
