type Banner = {
  url: string
  /** Made by this start; its password is shown this once. */
  madeAdmin: { email: string; password: string } | null
  /** Of an account that nobody has yet, so that the lines can be pasted after each start. */
  trial: { email: string; password: string }
  /** Whether this installation has the redemption code of a local trial. */
  hasTrialCode: boolean
}

const JSON_TYPE = "-H 'content-type: application/json'"

/** What the terminal shows when all runs: where, who administers it, and a first paid call. */
export function composeBanner({ url, madeAdmin, trial, hasTrialCode }: Banner): string {
  const redeem = hasTrialCode
    ? ["", "# 2. Recharge it by a redemption code: 10 CNY", redemption(url)]
    : []
  return [
    "",
    `Fengate listens on ${url}`,
    madeAdmin === null
      ? "admin: the one made at the first start, or ADMIN_EMAIL"
      : `admin: ${madeAdmin.email}   password: ${madeAdmin.password}   (shown this once)`,
    "",
    "# 1. Register an account",
    registration(url, trial),
    ...redeem,
    "",
    `# ${hasTrialCode ? 3 : 2}. Make an API key, and pay for a call with it`,
    paidCall(url),
    "",
    "Ctrl-C stops it.",
    "",
  ].join("\n")
}

/**
 * Shows the answer, and keeps the access token for the lines that follow. sed itself writes to
 * standard error: tee cannot where that is a socket.
 */
function registration(url: string, trial: Banner["trial"]): string {
  const post = `curl -sS ${url}/v1/accounts ${JSON_TYPE} -d '${JSON.stringify(trial)}'`
  return `TOKEN=$(${post} | sed -E -e 'w /dev/stderr' -e '${pick("accessToken")}'); echo`
}

function redemption(url: string): string {
  return `curl -sS ${url}/v1/redemptions -H "authorization: Bearer $TOKEN" ${JSON_TYPE} -d '{"code":"XUNAN666"}'; echo`
}

function paidCall(url: string): string {
  const makeKey = `curl -sS ${url}/v1/keys -H "authorization: Bearer $TOKEN" ${JSON_TYPE} -d '{"name":"first"}'`
  return `curl -sS ${url}/v1/charges -H "authorization: Bearer $(${makeKey} | sed -E '${pick("key")}')" ${JSON_TYPE} -d '{"interface":"user.login"}'; echo`
}

/** The sed command that leaves of compact JSON the value of one field. */
function pick(name: string): string {
  return `s/.*"${name}":"([^"]*)".*/\\1/`
}
