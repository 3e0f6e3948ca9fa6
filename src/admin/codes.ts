import type { Sql } from "../../db/connection.ts"
import { disableCode } from "../../db/queries/disable-code.ts"
import { type ListedCode, listCodes } from "../../db/queries/list-codes.ts"
import { makeCodes } from "../../db/queries/make-codes.ts"
import { writeAudit } from "../../db/queries/write-audit.ts"
import { type Actor, auditOf } from "../audit.ts"
import { violatedIndexOf } from "../http/failure.ts"
import { readTimeCursor, type TimeCursor, writeTimeCursor } from "../http/paging.ts"
import { newId, randomChars } from "../ids.ts"
import { EXPORT_ROWS_READ } from "../limits.ts"
import { formatCny, parseFen } from "../money.ts"

export type CodesAsked = {
  /** Upper case; null: `count` are made up. */
  code: string | null
  count: number
  amountFen: number
  totalUses: number | null
  startsAt: Date | null
  expiresAt: Date | null
  note: string | null
}

export type MakeOutcome = { status: "made"; codes: ListedCode[] } | { status: "code_taken" }

export function createCodes({ sql }: { sql: Sql }) {
  async function make(asked: CodesAsked, by: Actor): Promise<MakeOutcome> {
    // The codes are worth money: the audit log names their ids.
    const { code, ...rest } = asked
    const codes = Array.from({ length: asked.count }, () => ({
      id: newId("code"),
      code: code ?? newCode(),
    }))
    const details = { ...rest, ids: codes.map(({ id }) => id) }
    const audit = auditOf(by, "redemption_code.created", details)
    try {
      return { status: "made", codes: await makeCodes(sql, { ...asked, codes, audit }) }
    } catch (error) {
      if (violatedIndexOf(error) !== "redemption_codes_code_unique") throw error
      return { status: "code_taken" }
    }
  }

  function disable(id: string, by: Actor): Promise<ListedCode | null> {
    return disableCode(sql, { id, audit: auditOf(by, "redemption_code.disabled", {}) })
  }

  /** All codes as CSV, a page at a time: no connection is held while a slow client reads. */
  async function* exportCsv(by: Actor): AsyncGenerator<string> {
    const audit = auditOf(by, "redemption_code.exported", {})
    await writeAudit(sql, { ...audit, target: "redemption_codes" })
    yield `${CSV_COLUMNS.join(",")}\r\n`
    let after: TimeCursor = null
    for (;;) {
      const rows: ListedCode[] = await listCodes(sql, { after, limit: EXPORT_ROWS_READ })
      if (rows.length > 0) yield rows.map(csvLine).join("")
      const last = rows.at(-1)
      if (last === undefined || rows.length < EXPORT_ROWS_READ) return
      after = readTimeCursor({ cursor: writeTimeCursor(last) })
    }
  }

  return {
    make,
    disable,
    exportCsv,
    list: (page: Parameters<typeof listCodes>[1]) => listCodes(sql, page),
  }
}

/** 16 characters, 80 random bits, in groups that can be read aloud. */
function newCode(): string {
  return (randomChars(16).toUpperCase().match(/.{4}/g) ?? []).join("-")
}

const CSV_COLUMNS = [
  "code",
  "amountFen",
  "amount",
  "totalUses",
  "used",
  "startsAt",
  "expiresAt",
  "enabled",
  "note",
  "createdAt",
  "id",
] as const

function csvLine(row: ListedCode): string {
  const { code, amountFen, totalUses, used, startsAt, expiresAt, enabled, note, createdAt, id } =
    row
  const amount = formatCny(parseFen(amountFen))
  const times = [startsAt, expiresAt].map((time) => time?.toISOString() ?? "")
  const fields = [code, amountFen, amount, totalUses ?? "", used, ...times, enabled, note ?? ""]
  return `${[...fields, createdAt.toISOString(), id].map(csvField).join(",")}\r\n`
}

/** Quoted where need be; text that a spreadsheet would run as a formula is made text. */
function csvField(value: string | number | boolean): string {
  const text = String(value)
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
