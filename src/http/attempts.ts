import { createHash } from "node:crypto"
import type { Sql } from "../../db/connection.ts"
import { countAttempt } from "../../db/queries/count-attempt.ts"
import { forgetAttempts } from "../../db/queries/forget-attempts.ts"
import { readAttempts } from "../../db/queries/read-attempts.ts"
import { Problem } from "../errors.ts"

/** What may be tried how often by one subject: `max` times in `windowMs`. */
export type AttemptRule = { name: string; max: number; windowMs: number }

export type AttemptOutcome = { status: "allowed" } | TooMany
export type TooMany = { status: "rate_limited"; rule: AttemptRule; secondsLeft: number }

/** Attempts, counted in Postgres for all gateways together. */
export type Attempts = {
  /** Counts one, and says whether it was one too many. */
  count(rule: AttemptRule, subject: string): Promise<AttemptOutcome>
  /** Says whether one more would be too many. Counts nothing. */
  check(rule: AttemptRule, subject: string): Promise<AttemptOutcome>
  forget(rule: AttemptRule, subject: string): Promise<void>
}

export function createAttempts(sql: Sql): Attempts {
  return {
    async count(rule, subject) {
      const { count, secondsLeft } = await countAttempt(sql, {
        key: attemptKey(rule, subject),
        windowMs: rule.windowMs,
      })
      return count <= rule.max ? { status: "allowed" } : tooMany(rule, secondsLeft)
    },
    async check(rule, subject) {
      const found = await readAttempts(sql, attemptKey(rule, subject))
      if (found === null || found.count < rule.max) return { status: "allowed" }
      return tooMany(rule, found.secondsLeft)
    },
    forget: (rule, subject) => forgetAttempts(sql, attemptKey(rule, subject)),
  }
}

/** The subject is hashed: e-mails and addresses are not kept for having been typed. */
export function attemptKey({ name }: AttemptRule, subject: string): string {
  return `${name} ${createHash("sha256").update(subject).digest("hex").slice(0, 32)}`
}

export function tooMany(rule: AttemptRule, secondsLeft: number): TooMany {
  return { status: "rate_limited", rule, secondsLeft: Math.max(1, secondsLeft) }
}

/** The refusal with its headers (draft-ietf-httpapi-ratelimit-headers). */
export function rateLimited({ rule, secondsLeft }: TooMany): Problem {
  const { name, max, windowMs } = rule
  return new Problem("rate_limited", {
    detail: `Up to ${max} are allowed in ${Math.round(windowMs / 60_000)} minutes. Try again in ${secondsLeft} s.`,
    headers: {
      "Retry-After": String(secondsLeft),
      RateLimit: `"${name}";r=0;t=${secondsLeft}`,
      "RateLimit-Policy": `"${name}";q=${max};w=${windowMs / 1_000}`,
    },
  })
}
