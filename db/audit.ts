/** A row of `audit_log`, ready to be written by the statement of the act itself. */
export type AuditRow = {
  id: string
  /** An account id, or `system`. */
  actor: string
  action: string
  /** JSON text: what else was said or changed. */
  details: string
  requestId: string | null
  address: string | null
}
