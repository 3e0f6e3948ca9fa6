import type { AccountId } from "../../src/ids.ts"
import { codeOf } from "../generator/tally.ts"
import type { Key } from "./keys.ts"
import { LoadTestRefused } from "./options.ts"

/** What an account had at a moment: its balance, and the number of its last change record. */
export type Standing = { balanceFen: number; seq: number; availableCalls: number }

const AT_ONCE = 16
const TIMEOUT_MS = 10_000

/** Asks with each key what its account has, which also shows that the key is good for the load. */
export async function readStandings(
  keys: readonly Key[],
  { url, interface: interfaceId }: { url: string; interface: string },
): Promise<Map<AccountId, Standing>> {
  const address = `${url.replace(/\/$/, "")}/v1/balance?interface=${encodeURIComponent(interfaceId)}`
  const standings = new Map<AccountId, Standing>()
  const waiting = [...keys]
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
        // Another key of the same account may have been asked at another moment: one is enough.
        const standing = await readStanding(address, key, interfaceId)
        if (!standings.has(key.accountId)) standings.set(key.accountId, standing)
      }
    }),
  )
  return standings
}

async function readStanding(address: string, key: Key, interfaceId: string): Promise<Standing> {
  const response = await ask(address, key)
  const text = await response.text()
  if (response.status === 404) {
    throw new LoadTestRefused(`There is no interface "${interfaceId}" at that address.`)
  }
  if (!response.ok) {
    const code = codeOf(Buffer.from(text))
    throw new LoadTestRefused(
      `The key on line ${key.line} is answered ${response.status} ${code}: take it out of the file, or mend it.`,
    )
  }
  const { balanceFen, seq, availableCalls } = Object(JSON.parse(text))
  return {
    balanceFen: Number(balanceFen),
    seq: Number(seq),
    availableCalls: Number(availableCalls),
  }
}

async function ask(address: string, { secret }: Key): Promise<Response> {
  try {
    return await fetch(address, {
      headers: { authorization: `Bearer ${secret}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (error) {
    const origin = new URL(address).origin
    throw new LoadTestRefused(`${origin} cannot be reached.`, { cause: error })
  }
}
