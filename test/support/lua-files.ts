import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** What a Lua file says of itself in its header, and what stands below it. A key with … is many. */
export type LuaFile = {
  name: string
  text: string
  /** Below the header. */
  body: string
  /** The names of each section, in their order. */
  keys: string[]
  args: string[]
  returns: { word: string; text: string }[]
  items: { byte: number; name: string }[]
  /** Constants that are declared with a text or a number, by their names. */
  constants: Map<string, string>
}

const FOLDER = fileURLToPath(new URL("../../lua", import.meta.url))

export function readLuaFiles(): LuaFile[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(".lua"))
    .sort()
    .map((file) => parse(file.slice(0, -".lua".length), readFileSync(`${FOLDER}/${file}`, "utf8")))
}

export function readLuaReadme(): string {
  return readFileSync(`${FOLDER}/README.md`, "utf8")
}

function parse(name: string, text: string): LuaFile {
  const lines = text.split("\n")
  const end = lines.findIndex((line, i) => i > 0 && !line.startsWith("--"))
  const header = lines.slice(1, end).map((line) => line.slice(3))
  const body = lines.slice(end).join("\n")
  const sections = readSections(header)
  return {
    ...{ name, text, body },
    keys: namesOf(sections.get("KEYS")),
    args: namesOf(sections.get("ARGV")),
    returns: (sections.get("RETURN") ?? []).map((line) => ({ word: firstWord(line), text: line })),
    items: readItems((sections.get("ITEM") ?? []).join(" ")),
    constants: readConstants(body),
  }
}

/** A section begins with its name in the first six columns; what is further right continues a line. */
function readSections(header: readonly string[]): Map<string, string[]> {
  const sections = new Map<string, string[]>()
  let current: string[] = []
  for (const line of header) {
    const title = /^(KEYS|ARGV|RETURN|ITEM|KIND)\b/.exec(line)?.[1]
    if (title !== undefined) {
      current = []
      sections.set(title, current)
    }
    const entry = /^(?:KEYS {2}|ARGV {2}|RETURN |ITEM {2}|KIND {2}| {6,7})(\S.*)$/.exec(line)?.[1]
    if (entry !== undefined) current.push(entry)
    else if (current.length > 0) current.push(`${current.pop()} ${line.trim()}`)
  }
  return sections
}

function namesOf(lines: readonly string[] = []): string[] {
  return lines.map(firstWord)
}

function firstWord(line: string): string {
  return line.split(/\s/)[0] ?? ""
}

function readItems(text: string): { byte: number; name: string }[] {
  return [...text.matchAll(/(\d+) (\w+)/g)].map(([, byte, name]) => ({
    byte: Number(byte),
    name: name ?? "",
  }))
}

function readConstants(body: string): Map<string, string> {
  const constants = new Map<string, string>()
  for (const [, names = "", values = ""] of body.matchAll(/^ *local ([A-Z][A-Z_, ]*) = (.*)$/gm)) {
    const parts = values.split(", ")
    for (const [i, name] of names.split(", ").entries()) {
      constants.set(name, (parts[i] ?? "").replaceAll('"', ""))
    }
  }
  return constants
}

/** Bytes of a format of Redis's `struct`, without alignment: I and c with their length, and B. */
export function bytesOf(format: string): number {
  const parts = [...format.matchAll(/([A-Zc])(\d*)/gi)]
  return parts.reduce((sum, [, , length = ""]) => sum + (length === "" ? 1 : Number(length)), 0)
}
