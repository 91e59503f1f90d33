// Opens the page in headless Chromium and uses it as a person does: make page-test.
//
//   node page.mjs MODULES KEYTRAIL [THEME...]
//
// MODULES holds node_modules. Themes are light and dark, by default both. With IMAGES=DIR
// it writes a screenshot of each view.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const [modules, keytrail, ...wanted] = process.argv.slice(2)
const require = createRequire(join(resolve(modules), 'node_modules', 'x'))
const { chromium } = require('playwright-core')
const axe = require.resolve('axe-core/axe.min.js')
const images = process.env.IMAGES
const dir = mkdtempSync(join(tmpdir(), 'keytrail-page-test-'))

// trail makes a labelled trail, and a file of records whose texts try to be markup.
function trail() {
  const made = spawnSync(keytrail, ['generate', '--out', dir, '--duration', '72h', '--events', '20000', '--seed', '7'])
  assert.equal(made.status, 0, String(made.stderr))
  const hostile = '"><script>window.hit=1</script><img src=x onerror="window.hit=1">'
  const record = {
    eventVersion: '1.11', eventTime: '2026-01-07T10:02:03Z', eventSource: 'kms.amazonaws.com', eventName: 'ScheduleKeyDeletion',
    awsRegion: 'eu-central-1', sourceIPAddress: '203.0.113.9', userAgent: hostile, recipientAccountId: '111122223333',
    userIdentity: { type: 'IAMUser', principalId: 'AIDAEXAMPLE', accountId: '111122223333', userName: hostile,
      arn: 'arn:aws:iam::111122223333:user/' + hostile },
    requestParameters: { keyId: 'alias/' + hostile, pendingWindowInDays: 7 }, responseElements: { keyId: 'arn:aws:kms:eu-central-1:111122223333:key/5a5a5a5a-0000-4000-8000-000000000001' },
    eventID: '7b1f6a52-3a39-4b43-9f10-0a4d3d0c1f01', readOnly: false, eventType: 'AwsApiCall', managementEvent: true, big: 12345678901234567890n,
  }
  const text = JSON.stringify({ Records: [record] }, (_, v) => typeof v === 'bigint' ? `BIG${v}` : v).replace(/"BIG(\d+)"/, '$1')
  writeFileSync(join(dir, 'AWSLogs', 'hostile.json'), text)
  return join(dir, 'AWSLogs')
}

function freePort() {
  return new Promise(done => {
    const s = createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)) })
  })
}

// serve starts keytrail and returns the page's address once it answers.
const serve = (paths, port) => begin(['scan', '--web', '--listen', `127.0.0.1:${port}`, paths])

function begin(args) {
  const child = spawn(keytrail, args)
  return new Promise((done, failed) => {
    let said = ''
    const hear = data => {
      said += data
      const url = said.match(/http:\/\/[0-9.:]+\//)
      if (url) done({ child, url: url[0] })
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('exit', code => failed(new Error(`keytrail ended with ${code}: ${said}`)))
  })
}

const end = server => new Promise(done => {
  server.child.removeAllListeners('exit')
  server.child.on('exit', done)
  server.child.kill('SIGINT')
})

class Visit {
  constructor(page, theme, url) { Object.assign(this, { page, theme, url, problems: [], away: false }) }

  // watch notes everything that a page must not do.
  watch() {
    this.page.on('pageerror', e => this.problems.push(`error in the page: ${e.message}`))
    this.page.on('console', m => {
      if (m.type() === 'error' && !this.away) this.problems.push(`console: ${m.text()}`)
    })
    this.page.on('dialog', d => this.problems.push(`a dialog: ${d.message()}`))
    this.page.on('request', r => {
      if (!r.url().startsWith(this.url) && !r.url().startsWith('data:')) this.problems.push(`a request to ${r.url()}`)
    })
  }

  // look checks what is shown with axe, and for markup that came alive, and takes a picture.
  async look(name) {
    await this.page.waitForFunction(() => !document.body.innerText.includes('Loading …'))
    await this.page.waitForTimeout(150)
    if (images) await this.page.screenshot({ path: join(images, `${name}-${this.theme}.png`) })
    const found = await this.page.evaluate(async () => (await window.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })).violations.map(v =>
      `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(' | ')}`))
    assert.deepEqual(found, [], `axe finds on ${name} (${this.theme})`)
    assert.equal(await this.page.evaluate(() => window.hit), undefined, `a text of a record ran as a script on ${name}`)
    assert.equal(await this.page.locator('main script, main img').count(), 0, `a text of a record became markup on ${name}`)
    assert.deepEqual(this.problems, [], `on ${name}`)
  }

  shows(text) { return this.page.waitForFunction(t => document.querySelector('main').innerText.includes(t), text) }
}

async function overview(v) {
  const { page } = v
  await page.goto(v.url + '?range=259200')
  await page.waitForSelector('.map canvas')
  await v.shows('Newest anomalies')
  await v.look('overview')
  const box = await page.locator('.map canvas').boundingBox()
  await page.mouse.move(box.x + box.width * .3, box.y + 30)
  await page.mouse.down()
  await page.mouse.move(box.x + box.width * .6, box.y + 30, { steps: 5 })
  await page.mouse.up()
  await page.waitForURL(/from=.*until=/)
  await page.goBack()
  await page.waitForURL(/range=259200$/)
  await v.shows('Newest anomalies')
  await page.selectOption('select >> nth=0', 'principal')
  await page.waitForURL(/scope=principal/)
  await page.goBack()
  await page.fill('header ~ main input[type=search]', 'no such name')
  await page.keyboard.press('Enter')
  await v.shows('No anomalies in this period.')
  await page.goBack()
  await page.waitForSelector('.map canvas')
}

// keyboard moves over the map and opens a cell with keys alone.
async function keyboard(v) {
  const { page } = v
  await page.goto(v.url + '?range=259200')
  await page.waitForSelector('.map canvas')
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press('Tab')
    if (await page.evaluate(() => document.activeElement.tagName === 'CANVAS')) break
  }
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'CANVAS', 'Tab does not reach the map')
  await page.keyboard.press('End')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Shift+ArrowLeft')
  assert.match(await page.locator('.read').innerText(), /\d\d:\d\dZ to \d\d:\d\d/)
  await page.keyboard.press('Enter')
  await page.waitForURL(/\/entity\?/)
}

async function anomaly(v) {
  const { page } = v
  await page.goto(v.url + '?range=259200&kind=rate')
  await page.locator('.anomalies a').first().click()
  await page.waitForURL(/\/anomaly\?id=/)
  await v.shows('probability')
  await page.waitForSelector('.chart canvas')
  await page.locator('.events button.link').first().click()
  await page.waitForSelector('.json')
  assert.match(await page.locator('.json').innerText(), /"eventID": "/)
  await v.look('anomaly')
  await page.reload()
  await v.shows('probability')
  await page.goBack()
  await v.shows('Newest anomalies')
}

async function hostile(v) {
  const { page } = v
  await page.goto(v.url + 'events?range=2592000&q=%3Cscript')
  await page.locator('.events button.link').first().click()
  await page.waitForSelector('.json')
  const json = await page.locator('.json').innerText()
  assert.ok(json.includes('<script>window.hit=1</script>') && json.includes('12345678901234567890'), json)
  await v.look('events')
  await page.getByText('Link to this event').click()
  await page.waitForURL(/\/event\?object=/)
  await v.look('event')
  await page.goto(v.url + 'anomalies-of-no-view')
  v.problems.length = 0 // the browser reports the 404 that is wanted
  await v.shows('no view at this address')
  await page.goto(v.url + '?range=2592000&kind=rule')
  await page.locator('.anomalies a', { hasText: '<script>' }).first().click()
  await v.shows('scheduled the deletion')
  await v.look('hostile')
}

async function entity(v) {
  const { page } = v
  await page.goto(v.url + '?range=259200')
  await page.locator('.labels a').first().click()
  await page.waitForURL(/\/entity\?scope=key/)
  await v.shows('Who used it')
  await v.look('entity')
  await page.locator('.rows a').first().click()
  await page.waitForURL(/scope=pair/)
  await v.shows('First use')
  await page.goto(v.url + 'pipeline')
  await v.shows('records received')
  await v.look('pipeline')
}

// live shows the pipeline of a demo while it runs.
async function live(v) {
  const demo = await begin(['demo', '--events', '6000', '--pace', '30s', '--listen', '127.0.0.1:0'])
  const kept = v.url
  v.url = demo.url
  try {
    await v.page.goto(demo.url + 'pipeline')
    await v.shows('Stages, in the order of an event')
    await v.page.waitForFunction(() => /count[\s\S]*detect[\s\S]*siem/.test(document.querySelector('main').innerText), null, { timeout: 60_000 })
    await v.page.waitForFunction(() => /In\s+[1-9]/.test(document.querySelector('main').innerText), null, { timeout: 60_000 })
    await v.look('pipeline-live')
    await v.page.goto('about:blank')
  } finally {
    await end(demo)
    v.url = kept
  }
}

// commands checks that each view has its command, quoted for a shell.
async function commands(v) {
  const { page } = v
  const command = () => page.locator('.command').first().getAttribute('title')
  await page.goto(v.url + '?range=259200')
  await page.waitForSelector('.command')
  assert.match(await command(), /^keytrail scan -o table --since \S+ --until \S+ \/\S+$/)
  await page.locator('.anomalies a').first().click()
  await page.waitForURL(/\/anomaly/)
  await page.waitForSelector('.command')
  assert.match(await command(), /\| keytrail explain [0-9a-f]{32} --from -$/)
  await page.goto(v.url + 'events?range=259200&q=' + encodeURIComponent("it's $(id)"))
  await page.waitForSelector('.command')
  assert.match(await command(), /^curl -s 'http:[^']*it%27s[^']*'$/)
}

// exports saves events and a case, and looks into the files.
async function exports(v) {
  const { page } = v
  const saved = async (name) => {
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByText(name, { exact: true }).click()])
    return readFileSync(await file.path(), 'utf8')
  }
  await page.goto(v.url + 'events?range=2592000&q=%3Cscript')
  const csv = await saved('Save as CSV')
  assert.match(csv, /^time,key,principal,operation,.*\r\n2026-01-07T10:02:03\.000Z,/)
  assert.ok(csv.includes('""><script>'), csv)
  const rows = (await saved('Save as NDJSON')).trimEnd().split('\n').map(line => JSON.parse(line))
  assert.equal(rows[0].operation, 'ScheduleKeyDeletion')
  await page.goto(v.url + '?range=259200&kind=rate')
  await page.locator('.anomalies a').first().click()
  await v.shows('probability')
  const one = JSON.parse(await saved('Save the case'))
  assert.ok(one.events.length > 0 && one.case.series.points.length > 0 && one.link.includes('/anomaly?id='))
  for (const e of one.events) assert.equal(e.sha256, createHash('sha256').update(e.body).digest('hex'))
}

async function narrow(v) {
  const { page } = v
  await page.setViewportSize({ width: 360, height: 740 })
  for (const path of ['?range=259200', 'events?range=259200', 'pipeline']) {
    await page.goto(v.url + path)
    await page.waitForFunction(() => !document.body.innerText.includes('Loading …'))
    await page.waitForTimeout(100)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.ok(wide <= 360, `${path} is ${wide} pixels wide in a window of 360`)
  }
  await page.setViewportSize({ width: 3840, height: 2160 })
  await page.goto(v.url + '?range=259200')
  await page.waitForSelector('.map canvas')
  const { width } = await page.locator('.map canvas').boundingBox()
  assert.ok(width > 2000, `the map is ${width} pixels wide in a window of 3840`)
  await page.setViewportSize({ width: 1400, height: 900 })
}

// chosen shows a period that is typed.
async function chosen(v) {
  const { page } = v
  await page.goto(v.url + '?range=259200')
  await page.locator('.period summary').click()
  await page.fill('input[name=from]', '2026-01-07T03:00')
  await page.fill('input[name=until]', '2026-01-07T04:00')
  await v.look('period')
  await page.keyboard.press('Enter')
  await page.waitForURL(/from=2026-01-07T03%3A00%3A00Z&until=2026-01-07T04%3A00%3A00Z/)
  await v.shows('2026-01-07 03:00Z – 2026-01-07 04:00Z')
}

// many prints the time in which the map draws 100,000 cells.
async function many(v) {
  const rows = Array.from({ length: 200 }, (_, y) => ({ scope: 'key', key: `arn:aws:kms:eu-central-1:111122223333:key/${y}`, score: 9, rules: 0,
    severity: 3, anomalies: 500, cells: Array.from({ length: 500 }, (_, c) => ({ c, s: (c * 7 + y) % 18, v: 3, n: 1 })) }))
  await v.page.route('**/api/v1/overview*', async route => {
    const answer = await (await route.fetch()).json()
    answer.span = { from: 1767571200, until: 1767571200 + 500 * 300, bucket_seconds: 300 }
    answer.gaps = []
    answer.heat.rows = rows
    await route.fulfill({ json: answer })
  })
  await v.page.goto(v.url)
  await v.page.waitForFunction(() => document.querySelector('.map canvas')?.dataset.cells >= 100000)
  console.log(`${v.theme}: ${await v.page.locator('.map canvas').getAttribute('data-cells')} cells drawn in ${
    await v.page.locator('.map canvas').getAttribute('data-ms')} ms`)
  await v.page.unroute('**/api/v1/overview*')
}

// restarted ends the server under the open page and starts it again.
async function restarted(v, server, paths, port) {
  await v.page.goto(v.url + 'pipeline')
  await v.shows('records received')
  v.away = true
  await end(server)
  await v.page.waitForSelector('.net.off')
  const again = await serve(paths, port)
  await v.page.waitForFunction(() => !document.querySelector('.net.off'), null, { timeout: 60_000 })
  v.away = false
  await v.page.getByText('Overview').click()
  await v.shows('Newest anomalies')
  assert.deepEqual(v.problems, [], 'after a restart')
  return again
}

if (images) mkdirSync(images, { recursive: true })
const paths = trail(), port = await freePort()
let server = await serve(paths, port)
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
try {
  for (const theme of wanted.length ? wanted : ['light', 'dark']) {
    const context = await browser.newContext({ colorScheme: theme, viewport: { width: 1400, height: 900 }, timezoneId: 'Europe/Berlin', locale: 'en-US' })
    await context.addInitScript({ path: axe })
    const v = new Visit(await context.newPage(), theme, server.url)
    v.page.setDefaultTimeout(20_000)
    v.watch()
    for (const step of [overview, chosen, keyboard, anomaly, hostile, entity, commands, exports, live, narrow, many]) {
      const began = Date.now()
      await step(v)
      assert.deepEqual(v.problems, [], `after ${step.name}`)
      console.log(`${theme}: ${step.name} passed in ${Date.now() - began} ms`)
    }
    server = await restarted(v, server, paths, port)
    console.log(`${theme}: restarted passed`)
    await context.close()
  }
  console.log('the page passed')
} finally {
  await browser.close()
  await end(server)
  rmSync(dir, { recursive: true })
}
