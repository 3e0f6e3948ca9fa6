import { type Static, Type } from "@sinclair/typebox"
import type { ListedKey } from "../../db/queries/list-keys.ts"
import { Problem } from "../errors.ts"
import { CLOSED, Cny, GivenFen, Time, text } from "../http/fields.ts"
import { GivenTime, readTime } from "../http/times.ts"
import { refuseField } from "../http/violations.ts"
import { KEY_CIDRS_MAX, KEY_INTERFACES_MAX, KEY_RATE_PER_SECOND_MAX } from "../limits.ts"
import { type Fen, formatCny, parseFen } from "../money.ts"
import { normalizeCidr } from "./cidrs.ts"

/** What may be asked of the limits of a key, by the columns of `api_keys`. null: no such limit. */
export type LimitsAsked = {
  daily_fen?: number | null
  monthly_fen?: number | null
  total_fen?: number | null
  rate_per_second?: number | null
  allowed_cidrs?: string[] | null
  interfaces?: string[] | null
  expires_at?: string | null
}

const RATE = Type.Integer({ minimum: 1, maximum: KEY_RATE_PER_SECOND_MAX })
const CIDRS = Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: KEY_CIDRS_MAX })
const INTERFACES = Type.Array(text({ max: 64 }), { minItems: 1, maxItems: KEY_INTERFACES_MAX })

const BUDGET = "an amount in fen, 1 or more; null: no such budget"
const DAILY = "What the key may spend on a day of Asia/Shanghai"
const MONTHLY = "What the key may spend in a month of Asia/Shanghai"
const TOTAL = "What the key may spend ever"
const RATE_TEXT = `calls per second, 1 to ${KEY_RATE_PER_SECOND_MAX}; null: as many as there are`
const CIDRS_TEXT = `a list of 1 to ${KEY_CIDRS_MAX} addresses or CIDRs, from which calls may come; null: from anywhere`
const INTERFACES_TEXT = `a list of the ids of 1 to ${KEY_INTERFACES_MAX} interfaces, which may be called; null: all`
const EXPIRY_TEXT = "a moment in the future, from which the key is refused; null: never"

const budget = (title: string) =>
  Type.Optional(Type.Union([GivenFen, Type.Null()], { title, description: BUDGET }))

const given = {
  dailyFen: budget(DAILY),
  monthlyFen: budget(MONTHLY),
  totalFen: budget(TOTAL),
  ratePerSecond: Type.Optional(Type.Union([RATE, Type.Null()], { description: RATE_TEXT })),
  allowedCidrs: Type.Optional(
    Type.Union([CIDRS, Type.Null()], {
      description: CIDRS_TEXT,
      examples: [["203.0.113.0/24", "2001:db8::/32"]],
    }),
  ),
  interfaces: Type.Optional(
    Type.Union([INTERFACES, Type.Null()], {
      description: INTERFACES_TEXT,
      examples: [["user.login"]],
    }),
  ),
  expiresAt: Type.Optional(
    Type.Union([GivenTime, Type.Null()], {
      description: EXPIRY_TEXT,
      examples: ["2027-01-01T00:00:00.000Z"],
    }),
  ),
}

const EXAMPLE = { dailyFen: 10_000, ratePerSecond: 50, allowedCidrs: ["203.0.113.0/24"] }

export const NewLimits = Type.Object(given, {
  ...CLOSED,
  description: "What is not named, or null, is not limited.",
  examples: [EXAMPLE],
})

export const LimitsChange = Type.Object(given, {
  ...CLOSED,
  minProperties: 1,
  description: "Limits that are named are set, or removed by null; what is not named stays.",
  examples: [{ dailyFen: 20_000, expiresAt: null }],
})

const orNull = <Schema extends Parameters<typeof Type.Optional>[0]>(
  schema: Schema,
  description: string,
) => Type.Union([schema, Type.Null()], { description })

export const Limits = Type.Object(
  {
    dailyFen: orNull(GivenFen, `${DAILY}, in fen; null: no such budget.`),
    daily: orNull(Cny, "The same in CNY."),
    monthlyFen: orNull(GivenFen, `${MONTHLY}, in fen; null: no such budget.`),
    monthly: orNull(Cny, "The same in CNY."),
    totalFen: orNull(GivenFen, `${TOTAL}, in fen; null: no such budget.`),
    total: orNull(Cny, "The same in CNY."),
    ratePerSecond: orNull(RATE, "Calls per second; null: as many as there are."),
    allowedCidrs: orNull(
      Type.Array(Type.String()),
      "The CIDRs from which calls may come, without host bits; null: from anywhere.",
    ),
    interfaces: orNull(
      Type.Array(Type.String()),
      "The ids of the interfaces that may be called; null: all.",
    ),
    expiresAt: orNull(Time, "From then on the key is refused with key_expired; null: never."),
  },
  { ...CLOSED, description: "What the key may do at most. null: no such limit." },
)

/** Reads the limits that a body names. Throws 422 where one of them cannot be. */
export function readLimits(body: Static<typeof NewLimits> = {}): LimitsAsked {
  const { dailyFen, monthlyFen, totalFen, ratePerSecond, allowedCidrs, interfaces } = body
  return {
    ...(dailyFen !== undefined && { daily_fen: dailyFen }),
    ...(monthlyFen !== undefined && { monthly_fen: monthlyFen }),
    ...(totalFen !== undefined && { total_fen: totalFen }),
    ...(ratePerSecond !== undefined && { rate_per_second: ratePerSecond }),
    ...(allowedCidrs !== undefined && { allowed_cidrs: allowedCidrs && readCidrs(allowedCidrs) }),
    ...(interfaces !== undefined && { interfaces: interfaces && [...new Set(interfaces)] }),
    ...(body.expiresAt !== undefined && { expires_at: readExpiry(body.expiresAt) }),
  }
}

function readCidrs(cidrs: readonly string[]): string[] {
  const normalized = cidrs.map((cidr, place) => {
    const read = normalizeCidr(cidr)
    if (read !== null) return read
    throw refused(`/limits/allowedCidrs/${place}`, "Must be an address or a CIDR, IPv4 or IPv6.")
  })
  return [...new Set(normalized)]
}

function readExpiry(given: string | null): string | null {
  if (given === null) return null
  const path = "/limits/expiresAt"
  const expiresAt = readTime(path, given)
  if (expiresAt !== null && expiresAt.getTime() > Date.now()) return expiresAt.toISOString()
  throw refused(path, "Must be in the future. Disable the key to stop it now.")
}

export function unknownInterfaces(ids: readonly string[]): Problem {
  return refused(
    "/limits/interfaces",
    `There is no interface "${ids[0]}". GET /v1/interfaces lists those there are.`,
  )
}

function refused(path: string, message: string): Problem {
  return new Problem("validation_failed", refuseField(path, message))
}

export function viewLimits(key: ListedKey): Static<typeof Limits> {
  const { ratePerSecond, allowedCidrs, interfaces, expiresAt } = key
  const dailyFen = fenOrNull(key.dailyFen)
  const monthlyFen = fenOrNull(key.monthlyFen)
  const totalFen = fenOrNull(key.totalFen)
  return {
    dailyFen,
    daily: cnyOrNull(dailyFen),
    monthlyFen,
    monthly: cnyOrNull(monthlyFen),
    totalFen,
    total: cnyOrNull(totalFen),
    ratePerSecond,
    allowedCidrs,
    interfaces,
    expiresAt: expiresAt?.toISOString() ?? null,
  }
}

function fenOrNull(digits: string | null): Fen | null {
  return digits === null ? null : parseFen(digits)
}

function cnyOrNull(amount: Fen | null): string | null {
  return amount === null ? null : formatCny(amount)
}
