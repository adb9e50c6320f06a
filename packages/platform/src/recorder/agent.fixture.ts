/** An agent as far as shipping goes, until it is killed. node agent.fixture.ts RECORD_DIR BUS_URL */
import { systemClock } from '@portcullis/kernel'
import { createCodecs } from '../codec.ts'
import { connectBus } from '../connect.ts'
import { createShipper } from './shipper.ts'
import { quiet } from './quiet.fixture.ts'

const [dir = '', url = ''] = process.argv.slice(2)
const bus = await connectBus(url, { logger: quiet })
createShipper({ dir, bus: bus.value, codecs: createCodecs(), clock: systemClock, log: quiet })
process.stdout.write('up\n')
