// Export: what a view shows, as a file.
import { useState } from 'preact/hooks'
import { href } from './lib'
import type { EventRow } from './events'

// save hands a file to the browser.
function save(name: string, type: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type }))
  const a = Object.assign(document.createElement('a'), { href: url, download: name })
  a.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

const fields = ['time', 'key', 'principal', 'operation', 'outcome', 'error', 'address', 'service', 'context'] as const

const rows = (list: EventRow[]) => list.map(e => ({ ...e, time: new Date(e.time_ms).toISOString() }))

// cell quotes a value for CSV (RFC 4180). A spreadsheet must not take it for a formula.
export const cell = (v: string) => {
  const safe = /^[=+\-@\t\r]/.test(v) ? "'" + v : v
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

// ExportEvents saves the events that are shown.
export function ExportEvents({ list }: { list: EventRow[] }) {
  if (!list.length) return null
  const csv = () => [fields.join(','), ...rows(list).map(e => fields.map(f => cell(String(e[f] ?? ''))).join(','))].join('\r\n') + '\r\n'
  const ndjson = () => rows(list).map(({ place, time_ms, ...e }) => JSON.stringify(e) + '\n').join('')
  return <p class="bar"><button type="button" onClick={() => save('events.csv', 'text/csv', csv())}>Save as CSV</button>
    <button type="button" onClick={() => save('events.ndjson', 'application/x-ndjson', ndjson())}>Save as NDJSON</button></p>
}

const digest = async (text: string) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))]
  .map(b => b.toString(16).padStart(2, '0')).join('')

// ExportCase saves an anomaly, its windows and its calls' original events, each with the
// SHA-256 of its bytes, as one file.
export function ExportCase({ id, answer, list }: { id: string; answer: unknown; list: EventRow[] }) {
  const [state, set] = useState('')
  const build = async () => {
    set('reading its events …')
    const events = []
    for (const { place } of list) {
      const r = await fetch('/api/v1' + href('/event', { object: String(place.object), offset: String(place.offset) }))
      const e = await r.json()
      events.push(r.ok ? { ...e, sha256: await digest(e.body) } : { place, problem: e.detail })
    }
    save(`case-${id.slice(0, 12)}.json`, 'application/json', JSON.stringify({ format: 1, exported: new Date().toISOString(),
      link: location.href, case: answer, events }, null, 2) + '\n')
    set('')
  }
  return <><button type="button" onClick={() => build().catch(e => set('The case cannot be saved: ' + e.message))}>Save the case</button>
    <span role="status" class="dim"> {state}</span></>
}
