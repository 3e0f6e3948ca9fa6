import type { Sql } from "../connection.ts"

export type KnownDrift = {
  accountId: string
  partition: number
  driftFen: string
  detail: string
  foundAt: Date
}

/** Accounts that are known to drift, those that have done so for longest first. */
export async function listDrifts(sql: Sql, limit: number): Promise<KnownDrift[]> {
  return await sql<KnownDrift[]>`
    select account_id as "accountId", partition, drift_fen as "driftFen", detail,
      found_at as "foundAt"
    from drifts order by found_at, account_id limit ${limit}
  `
}
