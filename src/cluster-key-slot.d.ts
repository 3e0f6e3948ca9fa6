/** The slot of a key in a Redis Cluster: CRC16 of what stands between its braces, modulo 16,384. */
declare module "cluster-key-slot" {
  export default function slotOf(key: string): number
}
