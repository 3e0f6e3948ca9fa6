import { type Static, Type } from "@sinclair/typebox"
import type { Sql } from "../../db/connection.ts"
import { listAudit } from "../../db/queries/list-audit.ts"
import { Problem } from "../errors.ts"
import { createActorOf } from "../http/actor.ts"
import type { ClientAddress } from "../http/address.ts"
import type { Guard } from "../http/authenticate.ts"
import { jsonBody } from "../http/body.ts"
import { CLOSED, idParams } from "../http/fields.ts"
import {
  PageQuery,
  pageOf,
  readLimit,
  readTimeCursor,
  toPage,
  writeTimeCursor,
} from "../http/paging.ts"
import { createPlugin, describe } from "../http/route.ts"
import { textStream } from "../http/stream.ts"
import { readTime } from "../http/times.ts"
import { refuseField } from "../http/violations.ts"
import { type CodesAsked, createCodes } from "./codes.ts"
import { Code, Entry, NewCodes, viewCode, viewEntry } from "./model.ts"
import { reconciliationRoutes } from "./reconciliation.ts"

const TAG = "Administration"
const PATH = "/v1/admin/redemption-codes"

type AdminDeps = { sql: Sql; guard: Guard; clientAddress: ClientAddress }

export function adminRoutes(deps: AdminDeps) {
  return createPlugin()
    .use(codeRoutes(deps))
    .use(codeLists(deps))
    .use(auditRoutes(deps))
    .use(reconciliationRoutes(deps))
}

function codeRoutes({ sql, guard, clientAddress }: AdminDeps) {
  const codes = createCodes({ sql })
  const actorOf = createActorOf(clientAddress)
  return createPlugin()
    .resolve(guard.admin)
    .post(
      PATH,
      async ({ body, principal, request, server, set, status }) => {
        const by = actorOf({ principal, request, server, set })
        const outcome = await codes.make(readAsked(body), by)
        if (outcome.status === "made") return status(201, { items: outcome.codes.map(viewCode) })
        throw new Problem(
          "validation_failed",
          refuseField("/code", "This code exists already. Choose another one."),
        )
      },
      {
        parse: jsonBody,
        body: NewCodes,
        response: { 201: Type.Object({ items: Type.Array(Code) }, CLOSED) },
        ...describe({ tag: TAG, summary: "Make redemption codes: one by name, or some made up" }),
      },
    )
    .post(
      `${PATH}/:id/disable`,
      async ({ params: { id }, principal, request, server, set }) => {
        const code = await codes.disable(id, actorOf({ principal, request, server, set }))
        if (code === null) throw new Problem("not_found", { detail: "There is no such code." })
        return viewCode(code)
      },
      {
        params: idParams("code"),
        response: { 200: Code },
        ...describe({
          tag: TAG,
          summary: "Disable a code; what was redeemed stays",
          errors: ["not_found"],
        }),
      },
    )
}

function codeLists({ sql, guard, clientAddress }: AdminDeps) {
  const codes = createCodes({ sql })
  const actorOf = createActorOf(clientAddress)
  return createPlugin()
    .resolve(guard.admin)
    .get(
      PATH,
      async ({ query }) => {
        const limit = readLimit(query)
        const rows = await codes.list({ after: readTimeCursor(query), limit: limit + 1 })
        return toPage(rows, { limit, cursorOf: writeTimeCursor, toItem: viewCode })
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Code) },
        ...describe({ tag: TAG, summary: "Redemption codes" }),
      },
    )
    .get(
      `${PATH}/export`,
      async ({ principal, request, server, set }) => {
        const by = actorOf({ principal, request, server, set })
        set.headers["content-type"] = "text/csv; charset=utf-8"
        set.headers["content-disposition"] = 'attachment; filename="redemption-codes.csv"'
        return new Response(await textStream(codes.exportCsv(by)))
      },
      { ...describe({ tag: TAG, summary: "All redemption codes as CSV" }) },
    )
}

function auditRoutes({ sql, guard }: AdminDeps) {
  return createPlugin()
    .resolve(guard.admin)
    .get(
      "/v1/admin/audit",
      async ({ query }) => {
        const limit = readLimit(query)
        const rows = await listAudit(sql, { after: readTimeCursor(query), limit: limit + 1 })
        return toPage(rows, { limit, cursorOf: writeTimeCursor, toItem: viewEntry })
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Entry) },
        ...describe({ tag: TAG, summary: "Every administrative act" }),
      },
    )
}

function readAsked(body: Static<typeof NewCodes>): CodesAsked {
  const { amountFen, code, count, totalUses = null, note = null } = body
  if (code !== undefined && count !== undefined) {
    throw refused("/count", "Give a code or a count, not both.")
  }
  const startsAt = readTime("/startsAt", body.startsAt)
  const expiresAt = readTime("/expiresAt", body.expiresAt)
  if (startsAt !== null && expiresAt !== null && startsAt >= expiresAt) {
    throw refused("/expiresAt", "Must be later than startsAt.")
  }
  const named = code?.toUpperCase() ?? null
  return { amountFen, code: named, count: count ?? 1, totalUses, startsAt, expiresAt, note }
}

function refused(path: string, message: string): Problem {
  return new Problem("validation_failed", refuseField(path, message))
}
