import type { Database } from "../../db/connection.ts"
import type { Guard } from "../http/authenticate.ts"
import { Change, viewChange } from "../http/change.ts"
import { pageOf, readLimit, readNumberCursor, toPage, writeNumberCursor } from "../http/paging.ts"
import { createPlugin, describe } from "../http/route.ts"
import { readTime } from "../http/times.ts"
import { ChangesQuery } from "./model.ts"
import { listChanges } from "./service.ts"

/** The change log: every movement of the balance, newest first. */
export function changeRoutes({ db, guard }: { db: Database; guard: Guard }) {
  return createPlugin()
    .resolve(guard.account)
    .get(
      "/v1/changes",
      async ({ principal: { accountId }, query }) => {
        const limit = readLimit(query)
        const { type, kind = null, from, to, interface: interfaceId = null, keyId = null } = query
        const rows = await listChanges(db, {
          accountId,
          beforeSeq: readNumberCursor(query),
          limit: limit + 1,
          filter: {
            type: type === undefined ? null : Number(type),
            kind,
            from: readTime("/from", from),
            to: readTime("/to", to),
            interfaceId,
            keyId,
          },
        })
        return toPage(rows, {
          limit,
          cursorOf: ({ seq }) => writeNumberCursor(seq),
          toItem: viewChange,
        })
      },
      {
        query: ChangesQuery,
        response: { 200: pageOf(Change) },
        ...describe({ tag: "Change log", summary: "Every change of the balance, newest first" }),
      },
    )
}
