import type { System } from "../support/system.ts"

type Fields = {
  amountFen?: number
  totalUses?: number | null
  used?: number
  startsAt?: Date | null
  expiresAt?: Date | null
  enabled?: boolean
}

let made = 0

/** A redemption code as an administrator may have made it. */
export async function insertCode({ sql }: System, fields: Fields = {}): Promise<string> {
  const {
    amountFen = 1_000,
    totalUses = null,
    used = 0,
    startsAt = null,
    expiresAt = null,
    enabled = true,
  } = fields
  const code = `CODE-${++made}`
  await sql`
    insert into redemption_codes (id, code, amount_fen, total_uses, used, starts_at, expires_at, enabled)
    values (${`code_${code}`}, ${code}, ${amountFen}, ${totalUses}, ${used}, ${startsAt}, ${expiresAt}, ${enabled})
  `
  return code
}

export async function usedOf({ sql }: System, code: string): Promise<number> {
  const [row] = await sql<
    { used: number }[]
  >`select used from redemption_codes where code = ${code}`
  return row?.used ?? -1
}
