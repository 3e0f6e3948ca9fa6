import { type ParseArgsConfig, parseArgs } from "node:util"

/** What a command talks with. */
export type Io = {
  env: Readonly<Record<string, string | undefined>>
  /** Results; text with its line ends. */
  out(text: string): void
  /** Progress, and why it could not be done. */
  err(text: string): void
}

export type Command = {
  /** For the list of all. */
  summary: string
  /** All of `--help`. */
  usage: string
  /** Answers the exit code. Throws `WrongUsage`, `Refused`, or what a store said. */
  run(words: readonly string[], io: Io): Promise<number>
}

/** The words after the command are not what it takes. */
export class WrongUsage extends Error {}

/** It cannot be done. The message is the one sentence that the operator reads. */
export class Refused extends Error {}

type Options = NonNullable<ParseArgsConfig["options"]>

/** The options and words of a command line; throws `WrongUsage` where they are others. */
export function parseWords<const Given extends Options>(
  words: readonly string[],
  { options, names = [] }: { options: Given; names?: readonly string[] },
) {
  const parsed = parse(words, options)
  if (parsed.positionals.length === names.length) return parsed
  if (names.length === 0) throw new WrongUsage(`"${parsed.positionals[0]}" is not expected here.`)
  const expected = names.map((name) => `<${name}>`).join(" ")
  throw new WrongUsage(`It takes ${expected}, and was given ${parsed.positionals.length} words.`)
}

function parse<const Given extends Options>(words: readonly string[], options: Given) {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true, strict: true })
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    const [sentence = ""] = error.message.split(". ")
    throw new WrongUsage(sentence.endsWith(".") ? sentence : `${sentence}.`, { cause: error })
  }
}

/** A whole number from a command line; throws `WrongUsage` where it is none. */
export function readNumber(
  text: string,
  { name, min, max }: { name: string; min: number; max: number },
): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new WrongUsage(`${name} must be a whole number from ${min} to ${max}; it is "${text}".`)
}
