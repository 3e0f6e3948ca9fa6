import { UPSTREAM_LOG_MS } from "../limits.ts"

/**
 * Tells the operator what is wrong with an interface's upstream. One that is away fails every call:
 * it is told of at once, and then once in UPSTREAM_LOG_MS with how often it was.
 */
export function createUpstreamLog(log: (message: string) => void) {
  const told = new Map<string, { at: number; more: number }>()
  return function tell(interfaceId: string, what: string): void {
    const now = performance.now()
    const last = told.get(interfaceId)
    if (last !== undefined && now - last.at < UPSTREAM_LOG_MS) {
      last.more++
      return
    }
    const more = last === undefined || last.more === 0 ? "" : ` (and ${last.more} times before)`
    told.set(interfaceId, { at: now, more: 0 })
    log(`the upstream of ${interfaceId}: ${what}${more}`)
  }
}

export type UpstreamLog = ReturnType<typeof createUpstreamLog>
