import { and, desc, eq, gte, lt, type SQL } from "drizzle-orm"
import type { Database } from "../../db/connection.ts"
import { changeRecords } from "../../db/schema.ts"
import type { ChangeRecord } from "../http/change.ts"
import type { AccountId } from "../ids.ts"

export type ChangeFilter = {
  type: number | null
  kind: string | null
  /** Included. */
  from: Date | null
  /** Not included. */
  to: Date | null
  interfaceId: string | null
  keyId: string | null
}

/**
 * An account's change records below `beforeSeq`, newest first. The primary key begins with account
 * and number: a page reads its own rows from the end of the index, however long the history is.
 */
export function listChanges(
  db: Database,
  {
    accountId,
    beforeSeq,
    limit,
    filter,
  }: {
    accountId: AccountId
    beforeSeq: number | null
    limit: number
    filter: ChangeFilter
  },
): Promise<ChangeRecord[]> {
  const { type, kind, from, to, interfaceId, keyId } = filter
  const record = changeRecords
  return db
    .select()
    .from(record)
    .where(
      and(
        eq(record.accountId, accountId),
        where(beforeSeq, (seq) => lt(record.seq, seq)),
        where(type, (value) => eq(record.type, value)),
        where(kind, (value) => eq(record.kind, value)),
        where(from, (at) => gte(record.at, at)),
        where(to, (at) => lt(record.at, at)),
        where(interfaceId, (id) => eq(record.interface, id)),
        where(keyId, (id) => eq(record.keyId, id)),
      ),
    )
    .orderBy(desc(record.seq))
    .limit(limit)
}

function where<Value>(value: Value | null, condition: (value: Value) => SQL): SQL | undefined {
  return value === null ? undefined : condition(value)
}
