import { readFileSync } from "node:fs"

const ROOT = Bun.fileURLToPath(new URL("../..", import.meta.url))

/** Whether a file of tests has titles that make up this whole name: those of groups, then a test's. */
export function hasTest(file: string, name: string): boolean {
  const text = readFileSync(ROOT + file, "utf8")
  const titles = text.matchAll(/[([:]\s*(["'`])((?:\\.|(?!\1)[^\\\n])*)\1/g)
  const patterns = [...titles].map(([, , title = ""]) => patternOf(title)).join("|")
  return new RegExp(`^(?:(?:${patterns})(?: |$))+$`).test(name)
}

/** What a title becomes for each case of its test is anything. */
function patternOf(title: string): string {
  const parts = title.replaceAll("\\", "").split(/\$\{[^}]*\}|%[a-z]/)
  return parts.map((part) => RegExp.escape(part)).join(".*")
}
