// A member of a deal's subnet made of js-libp2p: says what it saw as one line of JSON.
//
//	node main.mjs <seed in hex> <multiaddr with /p2p/> <size of a transfer>
import { createHash } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { http } from '@libp2p/http'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const [seed, address, size] = process.argv.slice(2)
const length = Number(size)

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex')

const self = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex')),
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { http: http(), identify: identify(), ping: ping() }
})

async function answer (path, init = {}) {
  const server = multiaddr(`${address}/http-path/${encodeURIComponent(path.slice(1))}`)
  // The other side hangs if something takes longer.
  const response = await self.services.http.fetch(server, { signal: AbortSignal.timeout(50_000), ...init })
  if (response.status !== 200) {
    throw new Error(`${path}: ${response.status}`)
  }
  return Buffer.from(await response.arrayBuffer())
}

try {
  const result = {}
  try {
    const connection = await self.dial(multiaddr(address))
    result.pingMicros = Math.round(1000 * await self.services.ping.ping(multiaddr(address)))
    const told = await self.services.identify.identify(connection)
    result.version = told.protocolVersion
    result.protocols = told.protocols
  } catch (error) {
    throw new Error(`refused: ${error}`)
  }
  result.answers = await Promise.all(Array.from({ length: 32 }, async (_, number) => `${await answer(`/hello/${number}`)}`))
  result.uploaded = `${await answer('/upload', { method: 'POST', body: Buffer.alloc(length, 7) })}`
  result.downloaded = digest(await answer(`/download/${length}`))
  console.log(JSON.stringify(result))
} catch (error) {
  console.log(`${error}`)
  process.exitCode = 1
} finally {
  await self.stop()
}
