import { BrokenStream, OtherStream } from "./read-entries.ts"

/**
 * Whether flushing may not go on by itself: the stream is not what scripts write, or Postgres says that a
 * record is missing, doubled, or breaks a CHECK. A Redis that went back is for the keeper.
 */
export function isBroken(error: unknown): boolean {
  if (error instanceof BrokenStream) return !(error instanceof OtherStream)
  return /^(FG|22|23)/.test(sqlState(error))
}

function sqlState(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : ""
  return typeof code === "string" ? code : ""
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ""
  return `${error.message}${cause}`
}
