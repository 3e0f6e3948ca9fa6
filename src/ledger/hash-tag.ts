import slotOf from "cluster-key-slot"

/**
 * The hash tags of partitions. All keys of a partition carry its tag, so that a Redis Cluster keeps them
 * on one node; and tags are chosen so that partitions spread evenly: of each three that follow each other
 * one lies in each third of the slots, of each six one in each sixth, of each twelve one in each twelfth.
 * Left to chance, five of six could lie on one master of three.
 */

const SLOTS = 16_384
const TWELFTHS = 12
/** Which sixth each of six partitions in turn has: the thirds that they lie in come in turn as well. */
const SIXTHS = [5, 1, 3, 4, 0, 2]

const tags: string[] = []

/** The text between the braces: `p` and the partition's number, and letters that bring it to its place. */
export function hashTag(partition: number): string {
  tags[partition] ??= findTag(partition)
  return tags[partition]
}

function findTag(partition: number): string {
  const place = twelfthOf(partition)
  for (let n = 0; ; n++) {
    const tag = `p${partition}${lettersOf(n)}`
    if (Math.floor((slotOf(tag) * TWELFTHS) / SLOTS) === place) return tag
  }
}

function twelfthOf(partition: number): number {
  const sixth = SIXTHS[partition % SIXTHS.length] ?? 0
  const isUpper = Math.floor(partition / SIXTHS.length) % 2 === 0
  return 2 * sixth + (isUpper ? 1 : 0)
}

/** Nothing, a, b … z, aa, ba …: no digit, so that p1 and p11 never have one tag. */
function lettersOf(n: number): string {
  if (n === 0) return ""
  return String.fromCharCode(97 + ((n - 1) % 26)) + lettersOf(Math.floor((n - 1) / 26))
}
