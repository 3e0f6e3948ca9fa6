import { parseArgs } from "node:util"
import { messageOf } from "../../src/ticker.ts"
import { parseServer } from "../generator/request.ts"

/** What the command line of the load tool asks for. */
export type LoadOptions = {
  url: string
  keysFile: string
  interface: string
  connections: number
  seconds: number
  /** Null: a closed loop. */
  callsPerSecond: number | null
  /** Null: the money is not audited. */
  databaseUrl: string | null
  /** Null: no report is written. */
  outDir: string | null
}

/** Something that the operator has to mend. Its message is the whole sentence. */
export class LoadTestRefused extends Error {}

const USAGE = `npm run loadtest -- --url URL --keys-file FILE [options]

  --url URL            the installation, such as https://api.example.com
  --keys-file FILE     one API key a line; many keys, so that the load spreads over accounts
  --interface NAME     what is charged                      user.login
  --connections N      kept open to the installation        64
  --duration SECONDS   also as 90s or 5m                    30
  --rate N             calls per second, whatever the answers; without it, each
                       connection calls again when it has its answer
  --database-url URL   audits the money afterwards, reading the views of the schema
                       reporting (a login of fengate_reader is enough)
  --out DIR            writes report.json and report.html there`

const CONNECTIONS_MAX = 20_000
const RATE_MAX = 1_000_000
const SECONDS_MAX = 86_400

export function readLoadOptions(args: readonly string[]): LoadOptions {
  const values = parse(args)
  const url = required("url", values.url)
  return {
    url: requireServer(url),
    keysFile: required("keys-file", values["keys-file"]),
    interface: values.interface,
    connections: whole("connections", values.connections, CONNECTIONS_MAX),
    seconds: readSeconds(values.duration),
    callsPerSecond: values.rate === undefined ? null : whole("rate", values.rate, RATE_MAX),
    databaseUrl: readDatabaseUrl(values["database-url"]),
    outDir: values.out ?? null,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        url: { type: "string" },
        "keys-file": { type: "string" },
        interface: { type: "string", default: "user.login" },
        connections: { type: "string", default: "64" },
        duration: { type: "string", default: "30" },
        rate: { type: "string" },
        "database-url": { type: "string" },
        out: { type: "string" },
      },
    }).values
  } catch (error) {
    // Only the option's name is repeated: what stands in a wrong place may be a key.
    const name = /'(--[a-z-]+)/.exec(messageOf(error))?.[1]
    const sentence =
      name === undefined ? "Only options are taken." : `${name} is no option, or lacks its value.`
    throw new LoadTestRefused(`${sentence}\n\n${USAGE}`, { cause: error })
  }
}

function required(name: string, value: string | undefined): string {
  if (!value) throw new LoadTestRefused(`--${name} is needed.\n\n${USAGE}`)
  return value
}

function requireServer(url: string): string {
  try {
    parseServer(url)
    return url
  } catch {
    throw new LoadTestRefused("--url must begin with http:// or https://.")
  }
}

/** Never repeats the value: it may hold a password. */
function readDatabaseUrl(url: string | undefined): string | null {
  if (url === undefined) return null
  const isPostgres =
    URL.canParse(url) && ["postgres:", "postgresql:"].includes(new URL(url).protocol)
  if (!isPostgres) throw new LoadTestRefused("--database-url must begin with postgres://.")
  return url
}

function readSeconds(text: string): number {
  const [, digits = "", unit] = /^(\d{1,6})(s|m)?$/.exec(text) ?? []
  const seconds = Number(digits || Number.NaN) * (unit === "m" ? 60 : 1)
  if (seconds >= 1 && seconds <= SECONDS_MAX) return seconds
  throw new LoadTestRefused("--duration must be a number of seconds, such as 30, 90s or 5m.")
}

function whole(name: string, text: string, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= 1 && value <= max) return value
  throw new LoadTestRefused(`--${name} must be a whole number from 1 to ${max}.`)
}
