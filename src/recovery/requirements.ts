import type { Redis } from "ioredis"
import { createLedgerRows } from "../../db/queries/create-ledger.ts"
import type { Stores } from "./stores.ts"

/** The stores are not what they must be. The message is the sentence that the operator reads. */
export class LedgerRefused extends Error {}

/** Refuses settings that are not those of this ledger; makes one where there is none. */
export async function requireLedger(sql: Stores["sql"], partitions: number): Promise<void> {
  const inForce = await createLedgerRows(sql, partitions)
  if (inForce !== partitions) {
    throw new LedgerRefused(
      `PARTITIONS is ${partitions}, but this ledger was made with ${inForce}: set PARTITIONS=${inForce}.`,
    )
  }
}

/** A Redis that may evict, or that forgets at a restart, cannot hold money (DESIGN section 7). */
export async function requireDurable(node: Redis): Promise<void> {
  const info = await node.info()
  const name = `Redis ${node.options.host}:${node.options.port}`
  const value = (field: string) => new RegExp(`^${field}:(.*?)\r?$`, "m").exec(info)?.[1] ?? ""
  if (value("maxmemory_policy") !== "noeviction") {
    throw new LedgerRefused(
      `${name} may evict balances (maxmemory-policy ${value("maxmemory_policy")}): set maxmemory-policy noeviction.`,
    )
  }
  if (value("aof_enabled") !== "1") {
    throw new LedgerRefused(
      `${name} would forget balances at a restart: set appendonly yes, and appendfsync always.`,
    )
  }
}
