/**
 * An array as text, to be cast in SQL: `${arrayText(ids)}::text::text[]`. Every element is quoted,
 * so that a text `NULL` stays a text.
 */
export function arrayText(values: readonly (string | number)[]): string {
  const quoted = values.map((value) => `"${String(value).replace(/["\\]/g, "\\$&")}"`)
  return `{${quoted.join(",")}}`
}
