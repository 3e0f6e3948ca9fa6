import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

/** A copy of the working tree, in which anything may be broken. */
export type Tree = {
  dir: string
  read(file: string): string
  write(file: string, text: string): void
  remove(): void
}

export const ROOT = Bun.fileURLToPath(new URL("../..", import.meta.url))
/** Those that are there: whoever is stopped in the middle leaves none. */
const copies = new Set<string>()
process.on("exit", () => {
  for (const dir of copies) rmSync(dir, { recursive: true, force: true })
})
const COPIED = ["src", "lua", "db", "test", "package.json", "tsconfig.json", "bunfig.toml"]

export function readOfRoot(file: string): string {
  return readFileSync(join(ROOT, file), "utf8")
}

/** A copy of `from`: of the working tree, or of a copy of it. The packages are those of the working tree. */
export function copyTree(from: string = ROOT): Tree {
  const dir = mkdtempSync(join(tmpdir(), "fengate-planted-"))
  copies.add(dir)
  for (const name of COPIED) cpSync(join(from, name), join(dir, name), { recursive: true })
  symlinkSync(join(ROOT, "node_modules"), join(dir, "node_modules"))
  return {
    dir,
    read: (file) => readFileSync(join(dir, file), "utf8"),
    write(file, text) {
      mkdirSync(dirname(join(dir, file)), { recursive: true })
      writeFileSync(join(dir, file), text)
    },
    remove() {
      rmSync(dir, { recursive: true, force: true })
      copies.delete(dir)
    },
  }
}
