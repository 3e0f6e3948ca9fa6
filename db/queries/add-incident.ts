import type { Sql } from "../connection.ts"

export type Incident = {
  partition: number
  generation: number
  kind: "redis_lost" | "records_lost" | "postgres_back" | "stream_diverged"
  /** Null: it is about no entries. */
  fromEntry: number | null
  throughEntry: number | null
  records: number | null
  detail: string
}

/**
 * Writes down what went wrong with a store. Callers may rely on: one row a kind and first entry of a
 * generation; of several the one that reaches furthest stays.
 */
export async function addIncident(sql: Sql, incident: Incident): Promise<void> {
  const { partition, generation, kind, fromEntry, throughEntry, records, detail } = incident
  await sql`
    insert into incidents as i (partition, generation, kind, from_entry, through_entry, records, detail)
    values (${partition}, ${generation}, ${kind}, ${fromEntry}, ${throughEntry}, ${records}, ${detail})
    on conflict (partition, generation, kind, from_entry) do update
    set through_entry = excluded.through_entry, records = excluded.records, detail = excluded.detail
    where excluded.through_entry > i.through_entry
  `
}
