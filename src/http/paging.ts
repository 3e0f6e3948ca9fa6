import { type TSchema, Type } from "@sinclair/typebox"
import { Problem } from "../errors.ts"
import { PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX } from "../limits.ts"
import { CLOSED } from "./fields.ts"
import { refuseField } from "./violations.ts"

/**
 * Query strings are text: each parameter's pattern says which text is accepted, and `x-type` what
 * it is to a reader of the API document.
 */
export function queryInteger({
  min,
  max,
  fallback,
}: {
  min: number
  max: number
  fallback: number
}) {
  return Type.String({
    pattern: "^[1-9][0-9]{0,8}$",
    description: `a whole number from ${min} to ${max}`,
    "x-type": { type: "integer", minimum: min, maximum: max, default: fallback },
  })
}

export const pageQuery = {
  limit: Type.Optional(queryInteger({ min: 1, max: PAGE_ITEMS_MAX, fallback: PAGE_ITEMS_DEFAULT })),
  cursor: Type.Optional(
    Type.String({ pattern: "^[A-Za-z0-9_-]{1,200}$", description: "the nextCursor of a page" }),
  ),
}
export const PageQuery = Type.Object(pageQuery, CLOSED)

export type PageRequest = { limit?: string; cursor?: string }

/** The answer of every list: newest first, and where the next page begins. */
export function pageOf<Item extends TSchema>(item: Item) {
  return Type.Object(
    {
      items: Type.Array(item),
      nextCursor: Type.Union([Type.String(), Type.Null()], {
        description: "Give it as cursor to get the next page; null on the last one.",
      }),
    },
    CLOSED,
  )
}

export function readLimit({ limit }: PageRequest): number {
  const value = limit === undefined ? PAGE_ITEMS_DEFAULT : Number(limit)
  if (value <= PAGE_ITEMS_MAX) return value
  throw new Problem(
    "validation_failed",
    refuseField("/limit", `Must be ${PAGE_ITEMS_MAX} or less.`),
  )
}

/** Where a list ordered by time and id goes on; null: at its beginning. */
export type TimeCursor = { at: string; id: string } | null

export function writeTimeCursor({ createdAt, id }: { createdAt: Date; id: string }): string {
  return Buffer.from(`${createdAt.toISOString()} ${id}`).toString("base64url")
}

export function readTimeCursor({ cursor }: PageRequest): TimeCursor {
  if (cursor === undefined) return null
  const match = /^(\d{4}-\d\d-\d\dT[\d:.]{12}Z) (\w{1,40})$/.exec(decode(cursor))
  const [, at = "", id = ""] = match ?? []
  if (match === null || Number.isNaN(Date.parse(at))) throw badCursor()
  return { at, id }
}

export function writeNumberCursor(value: number): string {
  return Buffer.from(String(value)).toString("base64url")
}

export function readNumberCursor({ cursor }: PageRequest): number | null {
  if (cursor === undefined) return null
  const digits = decode(cursor)
  if (!/^\d{1,15}$/.test(digits)) throw badCursor()
  return Number(digits)
}

/** Where a list ordered by id alone goes on; empty: at its beginning. */
export function readIdCursor({ cursor }: PageRequest): string {
  if (cursor === undefined) return ""
  const id = decode(cursor)
  if (!/^[\w.]{1,64}$/.test(id)) throw badCursor()
  return id
}

export function writeIdCursor({ id }: { id: string }): string {
  return Buffer.from(id).toString("base64url")
}

/** Makes a page of rows that were read with one more than the limit. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  {
    limit,
    cursorOf,
    toItem,
  }: {
    limit: number
    cursorOf(row: NoInfer<Row>): string
    toItem(row: NoInfer<Row>): Item
  },
): { items: Item[]; nextCursor: string | null } {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const nextCursor = rows.length > limit && last !== undefined ? cursorOf(last) : null
  return { items: shown.map(toItem), nextCursor }
}

function decode(cursor: string): string {
  return Buffer.from(cursor, "base64url").toString("latin1")
}

function badCursor(): Problem {
  return new Problem(
    "validation_failed",
    refuseField("/cursor", "Is no cursor of this list. Leave it out to begin at the first page."),
  )
}
