import type { Sql } from "../connection.ts"

/**
 * Takes the oldest run that waits, or whose process has been silent for `silentMs`. Null: there is
 * none. Callers may rely on: of several that ask at once, one gets it.
 */
export async function claimRun(sql: Sql, silentMs: number): Promise<string | null> {
  const [row] = await sql<{ id: string }[]>`
    update reconciliation_runs set started_at = now(), alive_at = now()
    where id = (
      select id from reconciliation_runs
      where finished_at is null and (started_at is null
        or alive_at < now() - ${silentMs} * interval '1 millisecond')
      order by asked_at, id limit 1 for update skip locked
    )
    returning id
  `
  return row?.id ?? null
}
