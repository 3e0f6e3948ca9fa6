/** A JSON object that is being composed. Symbols of the schemas in it vanish when it is written. */
export type Json = Record<string, unknown>

/** The fields of an object; none of anything else. */
export function readObject(value: unknown): Json {
  return typeof value === "object" && value !== null ? { ...value } : {}
}

/** A record by status. A lone schema is the one of status 200. */
export function readRecord(value: unknown): Json {
  const record = readObject(value)
  const isByStatus = Object.keys(record).every((key) => /^\d{3}$/.test(key))
  return isByStatus ? record : { "200": record }
}
