import { SPARING_LOG_MS } from "../limits.ts"

/**
 * Tells the operator of what may go wrong with every call, without a line for each: what is said of
 * a subject is told at once, and from then on once in SPARING_LOG_MS with how often it was.
 */
export function createSparingLog(log: (message: string) => void) {
  const told = new Map<string, { at: number; more: number }>()
  return function tell(subject: string, what: string): void {
    const now = performance.now()
    const last = told.get(subject)
    if (last !== undefined && now - last.at < SPARING_LOG_MS) {
      last.more++
      return
    }
    const more = last === undefined || last.more === 0 ? "" : ` (and ${last.more} times before)`
    told.set(subject, { at: now, more: 0 })
    log(`${subject}: ${what}${more}`)
  }
}

export type SparingLog = ReturnType<typeof createSparingLog>
