import type { Sql } from "../connection.ts"

export type LoadedServiceKey = {
  serviceKeyId: string
  keyHash: string
  isEnabled: boolean
  servicesVersion: number
}

/**
 * The service key with this hash, and the version of all service keys. Callers may rely on: both
 * are of one moment, so that a key which was disabled or deleted since has a lower version.
 */
export async function loadServiceKey(sql: Sql, keyHash: string): Promise<LoadedServiceKey | null> {
  const rows = await sql<LoadedServiceKey[]>`
    select s.id as "serviceKeyId", s.key_hash as "keyHash", s.enabled as "isEnabled",
      l.services_version as "servicesVersion"
    from service_keys s cross join ledger l
    where s.key_hash = ${keyHash}
  `
  return rows[0] ?? null
}
