import { readFileSync } from "node:fs"
import { plugin } from "bun"
import { type Edit, plant } from "../planted/fault.ts"
import { Redis } from "./redis/client.ts"

/**
 * Puts the stand-ins in the place of what product code imports, before it is imported: no product code
 * knows of it. Of `db/queries`, each function calls the statement of its own name.
 */

const HERE = Bun.fileURLToPath(new URL(".", import.meta.url))
const ROOT = Bun.fileURLToPath(new URL("../../", import.meta.url))
const IMPORTS: readonly Edit[] = [
  { file: "src/ids.ts", from: '"node:crypto"', to: `"${HERE}crypto.ts"` },
  { file: "src/ledger/revokes.ts", from: '"node:fs/promises"', to: `"${HERE}disk.ts"` },
]

/** `planted`: what else is changed in the texts of the program. */
export function raiseStandIns(planted: readonly Edit[]): void {
  const texts = new Map<string, string>()
  plant(
    { name: "a simulated world", edits: [...IMPORTS, ...planted] },
    {
      read: (file) => texts.get(file) ?? readFileSync(`${ROOT}${file}`, "utf8"),
      write: (file, text) => void texts.set(file, text),
    },
  )
  plugin({
    name: "stand-ins",
    setup(build) {
      build.module("ioredis", () => ({ loader: "object", exports: { Redis } }))
      build.onLoad({ filter: /\/db\/connection\.ts$/ }, () => ({
        loader: "ts",
        contents: `export { connectSql } from "${HERE}postgres/client.ts"`,
      }))
      build.onLoad({ filter: /\/db\/queries\/[\w-]+\.ts$/ }, async ({ path }) => ({
        loader: "ts",
        contents: queriesOf(await Bun.file(path).text()),
      }))
      for (const [file, contents] of texts) {
        const filter = new RegExp(`^${RegExp.escape(ROOT + file)}$`)
        build.onLoad({ filter }, () =>
          file.endsWith(".ts")
            ? { loader: "ts", contents }
            : { loader: "object", exports: { default: contents } },
        )
      }
    },
  })
}

function queriesOf(text: string): string {
  const names = [...text.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name]) => name)
  return names
    .map((name) => `export const ${name} = (sql, ...args) => sql.run("${name}", args)`)
    .join("\n")
}
