/** When two HOST:PORT cannot be listened on by two processes of one machine. */

/** Whether a process at one keeps another from the other: port 0 is any that is free, a wildcard is every address. */
export function sharePort(one: string, other: string): boolean {
  const [a, b] = [one, other].map((address) => {
    const split = address.lastIndexOf(':')
    return { host: address.slice(0, split), port: Number(address.slice(split + 1)) }
  })
  if (!a || !b || a.port !== b.port || a.port === 0) return false
  return a.host === b.host || [a.host, b.host].some((host) => host === '0.0.0.0' || host === '[::]')
}
