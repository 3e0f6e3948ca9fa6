import { readIfThere } from "../../src/embedded/processes.ts"
import { type AccountId, readCredential } from "../../src/ids.ts"
import { LoadTestRefused } from "./options.ts"

/** A key of the file. Never shown: a line's number stands for it. */
export type Key = { line: number; secret: string; accountId: AccountId }

/** Reads the file: a key a line; empty lines, and those that begin with #, are passed over. */
export function readKeys(path: string): Key[] {
  const text = readIfThere(path)
  if (text === null) throw new LoadTestRefused(`There is no file ${path}.`)
  const keys: Key[] = []
  const lineOf = new Map<string, number>()
  for (const [i, words] of text.split("\n").entries()) {
    const [line, secret] = [i + 1, words.trim()]
    if (secret === "" || secret.startsWith("#")) continue
    const read = readCredential(secret)
    if (read?.prefix !== "fk") {
      throw new LoadTestRefused(
        `Line ${line} of ${path} is not an API key (fk_ and 48 characters).`,
      )
    }
    const earlier = lineOf.get(secret)
    if (earlier !== undefined) {
      throw new LoadTestRefused(`Lines ${earlier} and ${line} of ${path} hold the same key.`)
    }
    lineOf.set(secret, line)
    keys.push({ line, secret, accountId: read.accountId })
  }
  if (keys.length === 0) throw new LoadTestRefused(`There is no key in ${path}.`)
  return keys
}
