import { runOps } from "../../src/ops/run.ts"
import type { Stores } from "../support/stores.ts"

export type Ran = { code: number; out: string; err: string }

/** One command, as an operator gives it, on the stores of a test or with another environment. */
export async function ops(
  on: Pick<Stores, "redisUrl" | "databaseUrl" | "dataDir"> | Record<string, string>,
  ...words: string[]
): Promise<Ran> {
  const ran: Ran = { code: -1, out: "", err: "" }
  ran.code = await runOps(words, {
    env: environmentOf(on),
    out: (text) => void (ran.out += text),
    err: (text) => void (ran.err += text),
  })
  return ran
}

function environmentOf(
  on: Pick<Stores, "redisUrl" | "databaseUrl" | "dataDir"> | Record<string, string>,
): Record<string, string> {
  if (!("redisUrl" in on)) return on
  const { redisUrl, databaseUrl, dataDir } = on
  return { REDIS_URL: redisUrl, DATABASE_URL: databaseUrl, DATA_DIR: dataDir }
}
