import type { AccountId } from "../../src/ids.ts"
import { partitionOf } from "../../src/ids.ts"
import { oneNode } from "../../src/ledger/cluster.ts"
import { accountKey } from "../../src/ledger/keys.ts"
import { readMeta } from "../../src/ledger/meta.ts"
import { decodeAccount, encodeAccount } from "../../src/ledger/states.ts"
import { fen } from "../../src/money.ts"
import type { TestLedger } from "../support/ledger.ts"

/** Somebody writes into Redis past the scripts. Answers what undoes it. */
export async function giveInRedis(
  { redis, stores }: Pick<TestLedger, "redis" | "stores">,
  accountId: AccountId,
  amountFen: number,
): Promise<() => Promise<void>> {
  const partition = partitionOf(accountId, stores.partitions)
  const meta = await readMeta(oneNode(redis), partition)
  const key = accountKey(partition, meta?.generation ?? 0, accountId)
  const give = async (moreFen: number) => {
    const state = await redis.getBuffer(key)
    if (state === null) throw new Error(`${accountId} is not in Redis`)
    const account = decodeAccount(state)
    await redis.set(
      key,
      encodeAccount({ ...account, balanceFen: fen(account.balanceFen + moreFen) }),
    )
  }
  await give(amountFen)
  return () => give(-amountFen)
}
