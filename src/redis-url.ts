/**
 * The servers that a setting names: `redis://a:1,b:2` and `redis://a:1,redis://b:2` are the same two;
 * without a scheme they have the scheme, user and password of the first. A comma in a password is `%2C`.
 * Throws a TypeError where one of them is no URL.
 */
export function seedUrls(redisUrl: string): string[] {
  const [first = "", ...others] = redisUrl.split(",")
  const urls = [first, ...others.map((each) => (each.includes("://") ? each : at(first, each)))]
  for (const url of urls) new URL(url)
  return urls
}

/** The same URL with another host and port. */
export function at(url: string, address: string): string {
  const there = new URL(url)
  const { host } = new URL(`redis://${address}`)
  if (host === "") throw new TypeError("an address is missing")
  there.host = host
  return there.href
}

/** `host:port`, as a Cluster names its nodes. */
export function addressOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname}:${port || "6379"}`
}
