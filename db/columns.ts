import { bigint, timestamp } from "drizzle-orm/pg-core"

/** Columns as all tables have them: money in fen, counts, and moments with their zone. */

export const fen = (name: string) => bigint(name, { mode: "number" }).notNull()
export const count = (name: string) => bigint(name, { mode: "number" }).notNull()
export const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })
export const createdAt = () => moment("created_at").notNull().defaultNow()
