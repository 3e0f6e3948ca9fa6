import type { Sql } from "../connection.ts"

export type ListedIncident = {
  at: Date
  partition: number
  generation: number
  kind: string
  records: number | null
  detail: string
}

/** What went wrong with a store, the latest first. */
export async function listIncidents(sql: Sql, limit: number): Promise<ListedIncident[]> {
  return await sql<ListedIncident[]>`
    select at, partition, generation, kind, records::float8 as records, detail
    from incidents order by at desc, id desc limit ${limit}
  `
}
