import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort, programOnPath } from "../../src/embedded/processes.ts"
import type { createPlaces } from "../embedded/places.ts"
import { eventually } from "./eventually.ts"

const README = Bun.fileURLToPath(new URL("../../README.md", import.meta.url))
/** Null where there is none: `npm test` has then said so. Debian's is not on everyone's PATH. */
export const NGINX =
  programOnPath("nginx") ?? (existsSync("/usr/sbin/nginx") ? "/usr/sbin/nginx" : null)

/** The ports that the README's configuration names. */
const PORTS = { fengate: "8787", nginx: "8080", backend: "3000" }

/** A real nginx with the README's configuration, in which only the ports are others. */
export async function startNginx(
  places: ReturnType<typeof createPlaces>,
  ports: { fengate: number; backend: number },
): Promise<{ url: string }> {
  const dir = places.make()
  const port = await freePort()
  const [, text = ""] = /^```nginx\n(.*?)^```/ms.exec(readFileSync(README, "utf8")) ?? []
  const config = text
    .replaceAll(`:${PORTS.fengate};`, `:${ports.fengate};`)
    .replaceAll(`:${PORTS.backend};`, `:${ports.backend};`)
    .replace(`listen ${PORTS.nginx};`, `listen 127.0.0.1:${port};`)
  writeFileSync(join(dir, "nginx.conf"), mainConfig(dir, config))
  mkdirSync(join(dir, "temp"))
  const log = join(dir, "error.log")
  const child = places.add(
    Bun.spawn([NGINX ?? "nginx", "-p", dir, "-c", join(dir, "nginx.conf"), "-e", log], {
      stdout: "ignore",
      stderr: "ignore",
    }),
  )
  const url = `http://127.0.0.1:${port}`
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(readFileSync(log, "utf8"))
    await fetch(`${url}/`)
  })
  return { url }
}

/** One process and no more, so that it ends when it is killed; what it writes, in its folder. */
function mainConfig(dir: string, config: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  return [
    "daemon off;",
    "master_process off;",
    `pid ${dir}/nginx.pid;`,
    "events {}",
    "http {",
    "access_log off;",
    ...temporary.map((name) => `${name}_temp_path ${dir}/temp/${name};`),
    config,
    "}",
  ].join("\n")
}
