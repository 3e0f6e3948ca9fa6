import type { Sql } from "../connection.ts"

export type LoadedKey = {
  keyId: string
  accountId: string
  /** The hash that was asked for: of the key's secret, or of its former one. */
  keyHash: string
  isEnabled: boolean
  authVersion: number
  limitsVersion: number
  dailyFen: string | null
  monthlyFen: string | null
  totalFen: string | null
  ratePerSecond: number | null
  /** When the key expires, or this secret of it, whichever comes first. */
  expiresAtMs: number | null
  allowedCidrs: string[] | null
  interfaces: string[] | null
}

/**
 * The API key that this hash opens, its limits, and the auth version of its account. Callers may
 * rely on: all are of one moment, so that a key which was revoked or limited since has a lower
 * version than its account. A former secret opens its key until the overlap of the rotation ends.
 */
export async function loadKey(sql: Sql, keyHash: string): Promise<LoadedKey | null> {
  const rows = await sql<LoadedKey[]>`
    select k.id as "keyId", k.account_id as "accountId", ${keyHash}::text as "keyHash",
      k.enabled as "isEnabled", a.auth_version as "authVersion",
      k.limits_version as "limitsVersion", k.daily_fen as "dailyFen",
      k.monthly_fen as "monthlyFen", k.total_fen as "totalFen",
      k.rate_per_second as "ratePerSecond",
      (extract(epoch from least(k.expires_at,
        case when k.key_hash <> ${keyHash} then k.previous_expires_at end)) * 1000)::float8
        as "expiresAtMs",
      to_json(k.allowed_cidrs) as "allowedCidrs", to_json(k.interfaces) as interfaces
    from api_keys k join accounts a on a.id = k.account_id
    where k.key_hash = ${keyHash}
      or (k.previous_hash = ${keyHash} and k.previous_expires_at > now())
  `
  return rows[0] ?? null
}
