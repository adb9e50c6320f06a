import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { AsnTable } from './asn-search.ts'
import { openAsnTable } from './asn-table.ts'
import { IdentityError } from './errors.ts'

const bundledDir = dirname(createRequire(import.meta.url).resolve('@ip-location-db/asn/package.json'))
let dir: string
let bundled: AsnTable
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'portcullis-asn-'))
  bundled = openAsnTable({ cacheDir: join(dir, 'bundled') })
})
after(() => rm(dir, { recursive: true }))

test('well-known networks of both families', () => {
  const known: readonly [string, 4 | 6, number, string][] = [
    ['8.8.8.8', 4, 15169, 'Google LLC'],
    ['1.1.1.1', 4, 13335, 'Cloudflare, Inc.'],
    ['193.0.6.139', 4, 3333, ''],
    ['2001:4860:4860::8888', 6, 15169, 'Google LLC'],
    ['2606:4700:4700::1111', 6, 13335, 'Cloudflare, Inc.'],
  ]
  for (const [address, family, number, name] of known) {
    const found = bundled.find(address, family)
    assert.equal(found.number, number, address)
    if (name) assert.equal(found.name, name)
  }
  for (const address of ['0.0.0.0', '10.0.0.1', '255.255.255.255'])
    assert.deepEqual(bundled.find(address, 4), { number: 0, name: '' })
  for (const address of ['::', '::1', '::8.8.8.8', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'])
    assert.deepEqual(bundled.find(address, 6), { number: 0, name: '' })
})

// The list is also published in another notation: that one is the judge, and Node's own parser of addresses no part of it.
for (const [family, file, every] of [
  [4, 'asn-ipv4.csv', 397],
  [6, 'asn-ipv6.csv', 97],
] as const)
  test(`the edges of ranges, IPv${family}`, async () => {
    let number = 0
    let judged = 0
    for await (const line of createInterface({ input: createReadStream(join(bundledDir, file)) })) {
      number += 1
      const [start = '', end = '', system] = line.split(',', 3)
      // Every line where the lower half of an IPv6 address counts, and some of the others.
      const fine = family === 6 && (!start.endsWith('::') || !end.endsWith(':ffff:ffff:ffff:ffff'))
      if (number % every !== 0 && !fine) continue
      judged += 1
      assert.equal(bundled.find(start, family).number, Number(system), `start of line ${number}: ${line}`)
      assert.equal(bundled.find(end, family).number, Number(system), `end of line ${number}: ${line}`)
    }
    assert.ok(judged > 1000, `${judged} judged`)
  })

const someV4 = `16777216,16777471,13335,"Cloudflare, Inc."
16777472,16777727,64500,"LLC ""QUOTED"""
16778240,16779263,64501,São Paulo Telecom
16778496,16778751,64502,Inner
4294967040,4294967295,64503,The end
`
const someV6 = `42540488161975842760550356425300246528,42540488161975842760550356425300246529,64504,Two addresses
42540488161975842760550356425300246531,42540488161975842760550356425300246531,64505,One address
340282366920938463463374607431768211455,340282366920938463463374607431768211455,64503,The end
`

test('gaps, neighbours, overlaps, single addresses and both ends of the address space', async () => {
  const sourceDir = await list('small', someV4, someV6)
  for (const table of [openAsnTable({ sourceDir }), openAsnTable({ sourceDir, cacheDir: sourceDir })]) {
    const v4 = (address: string) => table.find(address, 4).number
    const v6 = (address: string) => table.find(address, 6).number
    assert.deepEqual(['0.255.255.255', '1.0.0.0', '1.0.0.255', '1.0.1.0'].map(v4), [0, 13335, 13335, 64500])
    assert.deepEqual(['1.0.1.255', '1.0.2.0', '1.0.3.255', '1.0.4.0'].map(v4), [64500, 0, 0, 64501])
    assert.deepEqual(['1.0.4.255', '1.0.5.0', '1.0.5.255'].map(v4), [64501, 64502, 64502])
    assert.deepEqual(['255.255.254.255', '255.255.255.0', '255.255.255.255'].map(v4), [0, 64503, 64503])
    assert.deepEqual(
      ['2000:ffff::', '2001::', '2001::1', '2001::2', '2001::3', '2001::4'].map(v6),
      [0, 64504, 64504, 0, 64505, 0],
    )
    assert.deepEqual(
      [
        '2001:0:0:1::',
        'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe',
        'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      ].map(v6),
      [0, 0, 64503],
    )
    assert.equal(table.find('1.0.0.1', 4).name, 'Cloudflare, Inc.')
    assert.equal(table.find('1.0.1.1', 4).name, 'LLC "QUOTED"')
    assert.equal(table.find('1.0.4.1', 4).name, 'São Paulo Telecom')
  }
})

test('a compiled file that is damaged, cut, longer or of another list is made anew', async () => {
  const sourceDir = await list('damaged', someV4, someV6)
  const cacheDir = join(dir, 'damaged-cache')
  const file = join(cacheDir, 'asn.bin')
  const warned: object[] = []
  const open = () => openAsnTable({ sourceDir, cacheDir, log: { warn: (fields) => warned.push(fields) } })
  await mkdir(cacheDir)
  for (const [name, ageSec] of [
    ['asn.bin.left.tmp', 7200],
    ['asn.bin.busy.tmp', 1],
    ['other.tmp', 7200],
  ] as const) {
    await writeFile(join(cacheDir, name), 'x')
    await utimes(join(cacheDir, name), Date.now() / 1000, Date.now() / 1000 - ageSec)
  }
  open()
  const whole = await readFile(file)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  const { ino } = await stat(file)
  open()
  assert.equal((await stat(file)).ino, ino, 'a good file is used as it is')
  const damages: Buffer[] = [Buffer.alloc(0), Buffer.from('x'), whole.subarray(0, 64), whole.subarray(0, -1)]
  damages.push(Buffer.concat([whole, Buffer.from('x')]), Buffer.alloc(whole.length, 0xff))
  for (let at = 0; at < whole.length; at += 9) {
    const flipped = Buffer.from(whole)
    flipped[at] = (flipped[at] ?? 0) ^ 0x80
    damages.push(flipped)
  }
  for (const damaged of damages) {
    await writeFile(file, damaged)
    assert.equal(open().find('1.0.1.1', 4).name, 'LLC "QUOTED"')
    assert.deepEqual(await readFile(file), whole)
  }
  await writeFile(join(sourceDir, 'asn-ipv4-num.csv'), someV4.replaceAll('64500', '645000'))
  assert.equal(open().find('1.0.1.1', 4).number, 645000)
  await writeFile(join(sourceDir, 'asn-ipv4-num.csv'), someV4)
  await writeFile(join(sourceDir, 'package.json'), '{"version":"2"}')
  assert.equal(open().find('1.0.1.1', 4).number, 64500)
  assert.notDeepEqual(await readFile(file), whole, 'another version, another file')
  assert.deepEqual(warned, [])
  assert.deepEqual((await readdir(cacheDir)).sort(), ['asn.bin', 'asn.bin.busy.tmp', 'other.tmp'])
})

test('a file that is replaced while it is read by another keeps answering to its reader', async () => {
  const sourceDir = await list('replaced', someV4, someV6)
  const cacheDir = join(dir, 'replaced-cache')
  const early = openAsnTable({ sourceDir, cacheDir })
  await rm(join(cacheDir, 'asn.bin'))
  await list('replaced', someV4.replaceAll('Inner', 'A much longer name'), someV6)
  assert.equal(openAsnTable({ sourceDir, cacheDir }).find('1.0.5.0', 4).name, 'A much longer name')
  assert.equal(early.find('1.0.5.0', 4).name, 'Inner')
})

test('a folder that cannot be written costs a warning, not the table', async () => {
  const sourceDir = await list('unwritable', someV4, someV6)
  const cacheDir = join(sourceDir, 'package.json', 'below-a-file')
  const warned: { file?: string; why?: string }[] = []
  const table = openAsnTable({ sourceDir, cacheDir, log: { warn: (fields) => warned.push(fields) } })
  assert.equal(table.find('1.0.1.1', 4).name, 'LLC "QUOTED"')
  assert.equal(warned.length, 1)
  assert.equal(warned[0]?.file, join(cacheDir, 'asn.bin'))
  assert.match(warned[0]?.why ?? '', /ENOTDIR|EEXIST/)
})

test('several processes may compile at once', async () => {
  const sourceDir = await list('raced', someV4, someV6)
  const cacheDir = join(dir, 'raced-cache')
  const script = `
    import { openAsnTable } from ${JSON.stringify(join(import.meta.dirname, 'asn-table.ts'))}
    const options = ${JSON.stringify({ sourceDir, cacheDir })}
    console.log(JSON.stringify(openAsnTable(options).find('1.0.1.1', 4)))`
  const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  for (const { stdout } of await Promise.all([run(), run(), run()]))
    assert.deepEqual(JSON.parse(stdout), { number: 64500, name: 'LLC "QUOTED"' })
  assert.deepEqual(await readdir(cacheDir), ['asn.bin'])
})

test('a list that cannot be understood stops the start, and says at which line', async () => {
  const bad: readonly [string, RegExp][] = [
    [`${someV4}nonsense`, /asn-ipv4-num\.csv:6: not a range/],
    [someV4.replace('16777727,64500', '64500'), /asn-ipv4-num\.csv:2: not a range/],
    [someV4.replace('16777471', '4294967296'), /asn-ipv4-num\.csv:1: not a range/],
    [someV4.replace('16777472,', '16777400,').replace('16777727', '16777399'), /:2: the ranges are not in/],
    [someV4.replace('16778240', '1'), /:3: the ranges are not in ascending order/],
  ]
  for (const [text, message] of bad) {
    const sourceDir = await list('bad', text, someV6)
    assert.throws(
      () => openAsnTable({ sourceDir }),
      (error) =>
        error instanceof IdentityError && error.code === 'origin_database' && message.test(error.message),
      text,
    )
  }
  assert.throws(
    () => openAsnTable({ sourceDir: join(dir, 'missing') }),
    /install the packages anew, or set asnDb/,
  )
  await assert.rejects(
    async () => openAsnTable({ sourceDir: await list('bad6', someV4, `1${someV6}`) }),
    /ipv6-num\.csv:1/,
  )
})

async function list(name: string, v4: string, v6: string): Promise<string> {
  const folder = join(dir, name)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"version":"1"}')
  await writeFile(join(folder, 'asn-ipv4-num.csv'), v4)
  await writeFile(join(folder, 'asn-ipv6-num.csv'), v6)
  return folder
}
