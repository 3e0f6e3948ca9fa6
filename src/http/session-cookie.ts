const NAME = "fengate_session"
const PATTERN = new RegExp(`(?:^|;)\\s*${NAME}=([^;\\s]+)`)

/** The access token of the console's session cookie. */
export function readSessionCookie(headers: Headers): string | null {
  return PATTERN.exec(headers.get("cookie") ?? "")?.[1] ?? null
}

/** A `Cookie` header without the session; null where nothing is left of it. */
export function withoutSession(cookie: string): string | null {
  if (!cookie.includes(NAME)) return cookie
  const others = cookie.split(";").filter((pair) => pair.split("=")[0]?.trim() !== NAME)
  return others.length === 0 ? null : others.join(";").trim()
}

/** `Set-Cookie` for a login. Not readable by scripts; not sent along by other sites' forms. */
export function writeSessionCookie(
  publicUrl: string,
  { accessToken, expiresAt }: { accessToken: string; expiresAt: Date },
): string {
  return `${NAME}=${accessToken}; Expires=${expiresAt.toUTCString()}; ${attributes(publicUrl)}`
}

/** `Set-Cookie` that makes the browser forget it. */
export function clearSessionCookie(publicUrl: string): string {
  return `${NAME}=; Max-Age=0; ${attributes(publicUrl)}`
}

function attributes(publicUrl: string): string {
  return `Path=/; HttpOnly; SameSite=Lax${publicUrl.startsWith("https:") ? "; Secure" : ""}`
}
