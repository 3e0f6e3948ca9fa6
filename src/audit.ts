import type { AuditRow } from "../db/audit.ts"
import { newId } from "./ids.ts"

/** Who acts, and from where; `system` is the program itself. */
export type Actor = {
  actor: string
  requestId: string | null
  address: string | null
}

export const SYSTEM: Actor = { actor: "system", requestId: null, address: null }

/** What the audit log will say of an act; written in the same statement as the act. */
export function auditOf(by: Actor, action: string, details: Record<string, unknown>): AuditRow {
  return { id: newId("aud"), ...by, action, details: JSON.stringify(details) }
}
