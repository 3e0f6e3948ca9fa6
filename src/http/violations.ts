import { type ValueError, ValueErrorType } from "@sinclair/typebox/errors"
import type { ValidationError } from "elysia"
import type { ProblemFields } from "../errors.ts"
import { VIOLATIONS_MAX } from "../limits.ts"

export type Violation = { path: string; message: string }

/** Where a request does not fit its schema, in words; never what it said, which may be a secret. */
export function describeViolations(error: ValidationError): ProblemFields {
  const errors = new Map<string, Violation>()
  for (const violation of readErrors(error)) {
    const path = violation.path
    if (!errors.has(path)) errors.set(path, { path, message: explain(violation) })
    if (errors.size === VIOLATIONS_MAX) break
  }
  return refuseFields([...errors.values()], error.type === "query" ? "query" : "body")
}

/** The fields of `validation_failed` for a rule that no schema can state. */
export function refuseField(path: string, message: string): ProblemFields {
  return refuseFields([{ path, message }], "request")
}

function refuseFields(errors: readonly Violation[], part: string): ProblemFields {
  const [first] = errors
  const place = first === undefined || first.path === "" ? `The ${part}` : first.path
  return { detail: `${place}: ${first?.message ?? "is not valid."}`, errors }
}

function* readErrors({ validator, value }: ValidationError): Iterable<ValueError> {
  const isChecked = typeof validator === "object" && validator !== null && "Errors" in validator
  if (isChecked && typeof validator.Errors === "function") yield* validator.Errors(value)
}

function explain({ type, schema, message }: ValueError): string {
  switch (type) {
    case ValueErrorType.ObjectAdditionalProperties:
      return "There is no such field."
    case ValueErrorType.ObjectRequiredProperty:
      return "This field is required."
    case ValueErrorType.Object:
      return "A JSON object is required."
    case ValueErrorType.String:
      return "A string is required."
    case ValueErrorType.Boolean:
      return "true or false is required."
    case ValueErrorType.Integer:
      return "A whole number is required."
    case ValueErrorType.IntegerMinimum:
      return `Must be ${schema.minimum} or more.`
    case ValueErrorType.IntegerMaximum:
      return `Must be ${schema.maximum} or less.`
    case ValueErrorType.StringMinLength:
      return `Must have ${schema.minLength} characters or more.`
    case ValueErrorType.StringMaxLength:
      return `Must have ${schema.maxLength} characters or fewer.`
    case ValueErrorType.ObjectMinProperties:
      return "At least one field is required."
    case ValueErrorType.StringFormat:
    case ValueErrorType.StringPattern:
    case ValueErrorType.Union:
      return schema.description === undefined
        ? "Has the wrong form."
        : `Must be ${schema.description}.`
    default:
      return `${message}.`
  }
}
