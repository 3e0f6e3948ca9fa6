/**
 * A line for the operator, on standard error: time, role of the process, and what happened. Never a
 * credential, a body, or an SQL parameter.
 */
export type Log = (message: string) => void

export function createLog(role: string): Log {
  return (message) => {
    process.stderr.write(`${new Date().toISOString()} ${role}: ${message}\n`)
  }
}
