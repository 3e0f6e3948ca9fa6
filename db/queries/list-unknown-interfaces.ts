import { arrayText } from "../array.ts"
import type { Sql } from "../connection.ts"

/** Those of the ids given that no interface has. */
export async function listUnknownInterfaces(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select a.id from unnest(${arrayText(ids)}::text::text[]) with ordinality as a(id, place)
    where not exists (select 1 from interfaces i where i.id = a.id)
    order by a.place
  `
  return rows.map(({ id }) => id)
}
