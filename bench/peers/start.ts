import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort, programOnPath } from "../../src/embedded/processes.ts"
import { messageOf } from "../../src/ticker.ts"
import { answering, startProgram } from "../programs.ts"
import type { Peer, PeerName, PeerOptions } from "./peer.ts"
import { type PeerStore, startPostgresStore, startRedisStore } from "./stores.ts"

const SYSTEM_NGINX = "/usr/sbin/nginx"

type AppName = Exclude<PeerName, "nginx">

const APP_OF: Record<AppName, { file: string; store: "REDIS_URL" | "DATABASE_URL" }> = {
  elysia: { file: "elysia-evalsha.ts", store: "REDIS_URL" },
  pipelined: { file: "elysia-evalsha.ts", store: "REDIS_URL" },
  postgres: { file: "postgres.ts", store: "DATABASE_URL" },
  statement: { file: "postgres.ts", store: "DATABASE_URL" },
}

/** Starts one; where this machine has no nginx with Lua, says so in a sentence. */
export async function startPeer(name: PeerName, options: PeerOptions): Promise<Peer | string> {
  if (name !== "nginx") return startApp(name, options)
  const nginx = findNginx()
  if (nginx === null) return "nginx with Lua is left out: there is no nginx here."
  try {
    return await startNginx(nginx, options)
  } catch (error) {
    return `nginx with Lua is left out, because it does not start: ${messageOf(error)}`
  }
}

async function startApp(name: AppName, options: PeerOptions): Promise<Peer> {
  const app = APP_OF[name]
  const start = app.store === "REDIS_URL" ? startRedisStore : startPostgresStore
  const store = await start(options)
  const port = await freePort()
  const env = {
    PORT: String(port),
    ACCOUNTS_FILE: store.accountsFile,
    NODE_ENV: "production",
    PEER_MODE: name,
    [app.store]: store.url,
  }
  const command = [process.execPath, join(import.meta.dir, app.file)]
  return serve(name, store, { command, port, options, env })
}

/** Debian's is where only an administrator's PATH looks. */
export function findNginx(): string | null {
  return programOnPath("nginx") ?? (existsSync(SYSTEM_NGINX) ? SYSTEM_NGINX : null)
}

async function startNginx(nginx: string, options: PeerOptions): Promise<Peer> {
  const { dir } = options
  const store = await startRedisStore(options)
  const port = await freePort()
  const settings: Record<string, string> = {
    modules: luaModules(nginx).join("\n"),
    // Workers of a master that is root would be another user, who may not read this directory.
    user: process.getuid?.() === 0 ? "user root;" : "",
    dir,
    port: String(port),
    redisPort: String(store.port),
    sha: store.sha,
    handler: join(import.meta.dir, "nginx-charge.lua"),
  }
  const template = readFileSync(join(import.meta.dir, "nginx.conf"), "utf8")
  const config = join(dir, "nginx.conf")
  writeFileSync(
    config,
    template.replaceAll(/\$(\w+)/g, (word, key) => settings[key] ?? word),
  )
  const command = [nginx, "-p", dir, "-c", config, "-e", "stderr"]
  return serve("nginx", store, { command, port, options, env: {} })
}

async function serve(
  name: PeerName,
  store: PeerStore,
  started: {
    command: readonly string[]
    port: number
    options: PeerOptions
    env: Record<string, string>
  },
): Promise<Peer> {
  const { command, port, options, env } = started
  const program = startProgram(command, { dir: options.dir, name, env })
  const url = `http://127.0.0.1:${port}`
  try {
    // A charge without a key is refused, and only by one that is up.
    await answering(program, { url: `${url}/v1/charges`, isUp: (status) => status < 500 })
  } catch (error) {
    await store.stop()
    throw error
  }
  return {
    name,
    url,
    accounts: store.accounts,
    pids: { gateway: program.pid, store: store.pid },
    books: store.books,
    async stop() {
      await program.stop()
      await store.stop()
    },
  }
}

const LUA_MODULES = ["ndk_http_module.so", "ngx_http_lua_module.so"]

/** What an nginx must load to have Lua: as Debian builds it, two files; as OpenResty does, none. */
function luaModules(nginx: string): string[] {
  const { stderr } = Bun.spawnSync([nginx, "-V"])
  const folder = /--modules-path=(\S+)/.exec(stderr.toString())?.[1] ?? "/usr/lib/nginx/modules"
  const files = LUA_MODULES.map((file) => join(folder, file))
  return files.filter((file) => existsSync(file)).map((file) => `load_module ${file};`)
}
