/**
 * A real Kafka broker for tests: one KRaft node from Maven Central's jars, started by us, on ports of its own. It never
 * stands in for Kafka, and never ends a process that it did not start.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

export interface TestKafka {
  /** HOST:PORT. */
  readonly brokers: string
  /** False for a broker that is not ours (PORTCULLIS_KAFKA): it must not be killed. */
  readonly canKill: boolean
  /** SIGKILL, and gone when it resolves. Connections break at once. */
  kill9(): Promise<void>
  /** Starts it again on the same port and data after `kill9`; resolves when it answers. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Why no broker can be had here. Under CI that is a failure, elsewhere a reason to skip. */
export interface NoKafka {
  readonly missing: string
}

export async function startKafka(): Promise<TestKafka | NoKafka> {
  const given = process.env.PORTCULLIS_KAFKA
  if (given) return external(given)
  const jars = await fetchJars()
  return typeof jars === 'string' ? startOwn(jars) : jars
}

function external(brokers: string): TestKafka {
  const refuse = () => Promise.reject(new Error('PORTCULLIS_KAFKA is not ours to kill'))
  return { brokers, canKill: false, kill9: refuse, restart: refuse, stop: () => Promise.resolve() }
}

async function startOwn(jars: string): Promise<TestKafka> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-kafka-'))
  const [port, controllerPort] = await freePorts(2)
  const brokers = `127.0.0.1:${port}`
  const properties = join(dir, 'server.properties')
  writeFileSync(properties, serverProperties(dir, Number(port), Number(controllerPort)))
  const logging = join(dir, 'log4j2.properties')
  writeFileSync(logging, log4j2)
  const java = (heap: string, main: string, ...args: string[]) => [
    // C1 alone starts faster and leaves the machine to the tests.
    ...[`-Xmx${heap}`, '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto'],
    ...[`-Dlog4j2.configurationFile=${logging}`, '-cp', join(jars, '*'), main, ...args],
  ]
  const format = ['format', '-t', clusterId, '-c', properties]
  await promisify(execFile)('java', java('128m', 'kafka.tools.StorageTool', ...format))

  let broker: ChildProcess | undefined
  async function start(): Promise<void> {
    const child = spawn('java', java('400m', 'kafka.Kafka', properties), {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    broker = child
    let output = ''
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-8_000)
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    const deadlineMs = performance.now() + startMsMax
    while (!(await answers(Number(port)))) {
      if (child.exitCode !== null || performance.now() > deadlineMs)
        throw new Error(`the Kafka broker did not start (exit code ${child.exitCode}):\n${output}`)
      await sleep(100)
    }
  }
  async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = broker
    broker = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
  // A test run that dies must not leave a broker behind.
  const endWithUs = () => void broker?.kill('SIGKILL')
  process.once('exit', endWithUs)
  try {
    await start()
  } catch (error) {
    await end('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
    throw error
  }
  return {
    brokers,
    canKill: true,
    kill9: () => end('SIGKILL'),
    restart: start,
    async stop() {
      // Nothing of it is kept, so nothing need be flushed.
      await end('SIGKILL')
      process.off('exit', endWithUs)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The folder with the broker's jars; fetched once a version, into the git-ignored cache. */
async function fetchJars(): Promise<string | NoKafka> {
  const root = join(import.meta.dirname, '../../..')
  const pom = join(import.meta.dirname, '../kafka/pom.xml')
  const version = /<kafka\.version>(.+)<\/kafka\.version>/.exec(readFileSync(pom, 'utf8'))?.[1] ?? ''
  const jars = join(root, 'node_modules/.cache/kafka', version)
  if (!(await runs('java', '-version'))) return { missing: 'Java is not installed' }
  if (existsSync(jars) && readdirSync(jars).some((name) => name.startsWith('kafka_'))) return jars
  if (!(await runs('mvn', '-v'))) return { missing: 'Maven is not installed (it fetches the broker)' }
  mkdirSync(join(jars, '..'), { recursive: true })
  // Into a folder of its own first: another run may fetch at the same time, and half a set of jars must never be seen.
  const fetched = mkdtempSync(join(jars, '../fetching-'))
  try {
    const goal = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${fetched}`]
    await promisify(execFile)('mvn', goal)
    renameSync(fetched, jars)
  } catch (error) {
    rmSync(fetched, { recursive: true, force: true })
    if (existsSync(jars)) return jars
    return { missing: `the broker could not be fetched from Maven Central: ${error}` }
  }
  return jars
}

async function runs(command: string, argument: string): Promise<boolean> {
  return promisify(execFile)(command, [argument]).then(
    () => true,
    () => false,
  )
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Whether a broker on that port answers ApiVersions (key 18, version 0): listening alone comes seconds earlier. */
async function answers(port: number): Promise<boolean> {
  const request = Buffer.from('0000000e00120000000000010004', 'hex')
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const end = (answered: boolean) => {
      socket.destroy()
      resolve(answered)
    }
    socket.setTimeout(1_000, () => end(false))
    socket.on('error', () => end(false))
    socket.on('close', () => end(false))
    socket.on('connect', () => socket.write(Buffer.concat([request, Buffer.from('test')])))
    socket.on('data', () => end(true))
  })
}

function serverProperties(dir: string, port: number, controllerPort: number): string {
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'log.dirs': join(dir, 'data'),
    'auto.create.topics.enable': false,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    // So that a broker that was killed is let back in at once.
    'broker.session.timeout.ms': 1000,
    'broker.heartbeat.interval.ms': 300,
    // Retention and compaction fast enough for a test to see.
    'log.retention.check.interval.ms': 500,
    'log.cleaner.backoff.ms': 200,
    'log.cleaner.dedupe.buffer.size': 2_097_152,
    'log.segment.delete.delay.ms': 100,
    'log.initial.task.delay.ms': 500,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

const clusterId = 'cG9ydGN1bGxpcy10ZXN0cw'
const startMsMax = 60_000

const log4j2 = `
rootLogger.level=WARN
rootLogger.appenderRefs=stdout
rootLogger.appenderRef.stdout.ref=STDOUT
appenders=console
appender.console.name=STDOUT
appender.console.type=Console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
`
