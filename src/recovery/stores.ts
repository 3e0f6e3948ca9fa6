import type { Redis } from "ioredis"
import type { Sql } from "../../db/connection.ts"

/** What recovery reads and builds; its Redis user may do everything. */
export type Stores = { redis: Redis; sql: Sql }
export type Log = (message: string) => void
