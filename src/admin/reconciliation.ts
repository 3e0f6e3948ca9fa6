import { Type } from "@sinclair/typebox"
import type { Sql } from "../../db/connection.ts"
import { askRun } from "../../db/queries/ask-run.ts"
import { type KnownDrift, listDrifts } from "../../db/queries/list-drifts.ts"
import { listReconciliation, type Proof } from "../../db/queries/list-reconciliation.ts"
import { listRuns, type Run } from "../../db/queries/list-runs.ts"
import { readDrift } from "../../db/queries/read-drift.ts"
import { readRun } from "../../db/queries/read-run.ts"
import { auditOf } from "../audit.ts"
import { createActorOf } from "../http/actor.ts"
import type { ClientAddress } from "../http/address.ts"
import type { Guard } from "../http/authenticate.ts"
import { CLOSED, Cny, Fen, money, Time } from "../http/fields.ts"
import { PageQuery, readLimit, readTimeCursor, toPage, writeTimeCursor } from "../http/paging.ts"
import { createPlugin, describe } from "../http/route.ts"
import { newId } from "../ids.ts"
import { PAGE_ITEMS_MAX, RECONCILE_SILENT_MS } from "../limits.ts"
import { parseFen } from "../money.ts"

const TAG = "Administration"
const PATH = "/v1/admin/reconciliation"

const TimeOrNull = Type.Union([Time, Type.Null()])
const Count = Type.Integer({ minimum: 0 })

const RunView = Type.Object(
  {
    id: Type.String(),
    status: Type.String({ description: "waiting, running, finished or failed" }),
    askedBy: Type.String({ description: "an administrator's account id, or system" }),
    askedAt: Time,
    startedAt: TimeOrNull,
    finishedAt: TimeOrNull,
    accounts: Count,
    records: Count,
    driftFen: Fen,
    drift: Cny,
    findings: Type.Array(Type.String(), {
      description: "one sentence for each thing that is not as it must be",
    }),
    failure: Type.Union([Type.String(), Type.Null()]),
  },
  CLOSED,
)

const Books = Type.Object(
  {
    driftFen: Type.Union([Fen, Type.Null()], {
      description: "what the books are out by; null: they were not proven for a minute",
    }),
    drift: Type.Union([Cny, Type.Null()]),
    partitions: Type.Array(
      Type.Object(
        {
          partition: Count,
          reconciledPosition: Count,
          reconciledThrough: TimeOrNull,
          driftFen: Fen,
          drift: Cny,
          checkedAt: TimeOrNull,
        },
        CLOSED,
      ),
    ),
    accounts: Type.Array(
      Type.Object(
        {
          accountId: Type.String(),
          driftFen: Fen,
          drift: Cny,
          detail: Type.String(),
          foundAt: Time,
        },
        CLOSED,
      ),
      { description: "accounts whose balance in Redis is not what their records make it" },
    ),
    items: Type.Array(RunView, { description: "recomputations of the books, the newest first" }),
    nextCursor: Type.Union([Type.String(), Type.Null()]),
  },
  CLOSED,
)

type Deps = { sql: Sql; guard: Guard; clientAddress: ClientAddress }

/** What the books were found to be, and asking for them to be recomputed. */
export function reconciliationRoutes({ sql, guard, clientAddress }: Deps) {
  const actorOf = createActorOf(clientAddress)
  return createPlugin()
    .resolve(guard.admin)
    .get(
      PATH,
      async ({ query }) => {
        const limit = readLimit(query)
        const [proofs, drifts, driftFen, runs] = await Promise.all([
          listReconciliation(sql),
          listDrifts(sql, PAGE_ITEMS_MAX),
          readDrift(sql, RECONCILE_SILENT_MS),
          listRuns(sql, { after: readTimeCursor(query), limit: limit + 1 }),
        ])
        return {
          ...(driftFen === null ? { driftFen, drift: null } : money("drift", driftFen)),
          partitions: proofs.map(viewProof),
          accounts: drifts.map(viewDrift),
          ...toPage(runs, { limit, cursorOf: writeTimeCursor, toItem: viewRun }),
        }
      },
      {
        query: PageQuery,
        response: { 200: Books },
        ...describe({ tag: TAG, summary: "Whether the books balance, and recomputations of them" }),
      },
    )
    .post(
      PATH,
      async ({ principal, request, server, set, status }) => {
        const by = actorOf({ principal, request, server, set })
        const audit = auditOf(by, "reconciliation.asked", {})
        const id = await askRun(sql, { id: newId("rec"), audit })
        return status(202, viewRun(await readRun(sql, id)))
      },
      {
        response: { 202: RunView },
        ...describe({
          tag: TAG,
          summary: "Recompute the books; the one that runs already is answered",
        }),
      },
    )
}

function viewRun({ createdAt, startedAt, finishedAt, driftFen, findings, ...run }: Run) {
  const [id, { askedBy, accounts, records, failure }] = [run.id, run]
  return {
    ...{ id, status: statusOf({ startedAt, finishedAt, failure }), askedBy },
    askedAt: createdAt.toISOString(),
    startedAt: startedAt?.toISOString() ?? null,
    finishedAt: finishedAt?.toISOString() ?? null,
    ...{ accounts, records, ...money("drift", parseFen(driftFen)) },
    findings: [...findings],
    failure,
  }
}

function statusOf({
  startedAt,
  finishedAt,
  failure,
}: Pick<Run, "startedAt" | "finishedAt" | "failure">): string {
  if (failure !== null) return "failed"
  if (finishedAt !== null) return "finished"
  return startedAt === null ? "waiting" : "running"
}

function viewProof({ driftFen, reconciledThrough, checkedAt, ...proof }: Proof) {
  return {
    ...proof,
    ...money("drift", parseFen(driftFen)),
    reconciledThrough: reconciledThrough?.toISOString() ?? null,
    checkedAt: checkedAt?.toISOString() ?? null,
  }
}

function viewDrift({ accountId, driftFen, detail, foundAt }: KnownDrift) {
  const amount = money("drift", parseFen(driftFen))
  return { accountId, ...amount, detail, foundAt: foundAt.toISOString() }
}
