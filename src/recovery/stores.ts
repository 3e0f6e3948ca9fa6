import type { Sql } from "../../db/connection.ts"
import type { RedisNodes } from "../ledger/cluster.ts"

/** What recovery reads and builds; its Redis user may do everything. */
export type Stores = { redis: RedisNodes; sql: Sql }
export type Log = (message: string) => void
