import type { Sql } from "../../db/connection.ts"
import { readWatermarks, type Watermark } from "../../db/queries/read-watermarks.ts"

export async function readPlace(sql: Sql, partition: number): Promise<Watermark> {
  const watermark = (await readWatermarks(sql)).find((row) => row.partition === partition)
  if (watermark === undefined) throw new Error(`Postgres has no partition ${partition}`)
  return watermark
}
