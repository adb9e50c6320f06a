import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import tls from 'node:tls'
import { makeCertificates } from './certificates.ts'

test('the chain verifies, names match, and both sides of mutual TLS accept it', async () => {
  const made = makeCertificates({ clientName: 'ci-job' })
  const ca = new X509Certificate(made.caPem)
  const server = new X509Certificate(made.server.certPem)
  assert.equal(ca.ca, true)
  assert.equal(server.verify(ca.publicKey), true)
  assert.equal(server.checkHost('localhost'), 'localhost')
  assert.equal(server.checkIP('127.0.0.1'), '127.0.0.1')

  const listener = tls.createServer(
    { ca: made.caPem, cert: made.server.certPem, key: made.server.keyPem, requestCert: true },
    (socket) => socket.end(socket.getPeerX509Certificate()?.subject ?? 'nobody'),
  )
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  assert.ok(address && typeof address === 'object')
  const client = tls.connect({
    port: address.port,
    host: '127.0.0.1',
    ca: made.caPem,
    cert: made.client.certPem,
    key: made.client.keyPem,
  })
  const chunks: Buffer[] = []
  for await (const chunk of client) chunks.push(chunk)
  assert.equal(Buffer.concat(chunks).toString(), 'CN=ci-job')
  listener.close()
})
