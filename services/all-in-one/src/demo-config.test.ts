import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '@portcullis/config'
import { demoConfig } from './demo-config.ts'

test("the demo's configuration is valid, lies in its folder, and holds no secret", () => {
  const text = demoConfig({
    issuer: 'http://127.0.0.1:18790',
    audience: 'portcullis',
    postgresDoor: '127.0.0.1:15432',
    api: '127.0.0.1:8080',
    shop: { port: 5433, database: 'shop', agent: 'shop_backend', report: 'shop_reader' },
    health: {
      proxy: '127.0.0.1:1',
      analyzer: '127.0.0.1:2',
      alerts: '127.0.0.1:3',
      projector: '127.0.0.1:4',
    },
  })
  const config = parseConfig(text, '/data/demo.yaml')
  assert.equal(config.bus.url, 'lmdb:/data/bus')
  assert.equal(config.audit.url, 'embedded:/data/audit')
  assert.equal(config.targets[0]?.address, '127.0.0.1:5433')
  assert.equal(config.targets[0]?.credentials.password, 'env:PORTCULLIS_DEMO_SHOP_PASSWORD')
  assert.match(text, /begin with deploy\/portcullis\.yaml/)
  assert.equal(config.projector.health, '127.0.0.1:4')
})
