// Events: a list, one event with its JSON, and the search.
import { useState } from 'preact/hooks'
import { change, go, href, indent, number, Params, period, request, short, useApi } from './lib'
import { ExportEvents } from './export'
import { Command, Copy, Extent, Fact, Period, State, Time } from './parts'

export type EventRow = { time_ms: number; key?: string; principal?: string; operation?: string; outcome?: string; error?: string
  address?: string; service?: string; context?: string; place: { object: number; offset: number } }

const placed = (e: EventRow) => `${e.place.object}-${e.place.offset}`

// Events is a list of events; a click opens one in its place.
export function Events({ list }: { list: EventRow[] }) {
  const [open, set] = useState('')
  if (!list.length) return null
  return <div class="scroll" tabIndex={0} role="region" aria-label="Events"><table class="rows events">
    <thead><tr><th scope="col">time</th><th scope="col">operation</th><th scope="col">outcome</th><th scope="col">principal</th>
      <th scope="col">key</th><th scope="col">from</th></tr></thead>
    <tbody>{list.map(e => <>
      <tr key={placed(e)} class={open === placed(e) ? 'open' : ''}>
        <td><button type="button" class="link" aria-expanded={open === placed(e)} onClick={() => set(open === placed(e) ? '' : placed(e))}>
          <Time at={e.time_ms / 1000} /></button></td>
        <td>{e.operation}</td><td class={e.outcome}>{e.outcome} {e.error && <small class="dim">{e.error}</small>}</td>
        <td title={e.principal}>{short(e.principal ?? '').name}</td><td title={e.key}>{short(e.key ?? '').name}</td>
        <td>{e.address ?? e.service}</td></tr>
      {open === placed(e) && <tr key={placed(e) + 'json'}><td colSpan={6}><Original object={e.place.object} offset={e.place.offset} /></td></tr>}
    </>)}</tbody></table></div>
}

type Answer = { time_ms: number; name: string; attributes: Record<string, unknown>; resource: Record<string, unknown>; body: string
  place: { object: number; offset: number } }

// Original is one event as CloudTrail wrote it, with the attributes that Keytrail gave it.
export function Original({ object, offset }: { object: number; offset: number }) {
  const answer = useApi<Answer>(href('/event', { object: String(object), offset: String(offset) }))
  const [plain, setPlain] = useState(false)
  const e = answer.value
  if (!e) return <State of={answer} />
  return <div class="original">
    <div class="bar"><a href={href('/event', { object: String(object), offset: String(offset) })}>Link to this event</a>
      <Copy text={e.body} label="Copy JSON" />
      <button type="button" aria-pressed={plain} onClick={() => setPlain(!plain)}>As it came</button></div>
    <pre class={plain ? 'plain json' : 'json'} tabIndex={0}>{e.body ? plain ? e.body : indent(e.body) : 'The configuration keeps no bodies of events.'}</pre>
    <details><summary>Attributes</summary>
      <dl class="facts">{Object.entries({ ...e.resource, ...e.attributes }).sort().map(([k, v]) => <Fact key={k} name={k}>{Array.isArray(v) ? v.join(', ') : String(v)}</Fact>)}</dl></details>
  </div>
}

export function EventView({ params }: { params: Params }) {
  return <section class="card"><h1>One event</h1>
    <Original object={Number(params.object)} offset={Number(params.offset)} /></section>
}

const fields: [string, string][] = [['key', 'KMS key'], ['principal', 'Principal'], ['operation', 'Operation'], ['outcome', 'Outcome'],
  ['error', 'Error'], ['address', 'Address'], ['context', 'Context class'], ['q', 'Any of these contains']]

export function EventsView({ params, revision }: { params: Params; revision: number }) {
  const wanted = Object.fromEntries(fields.map(([name]) => [name, params[name] ?? '']))
  const path = href('/events', { ...period(params), ...wanted, limit: params.limit ?? '' })
  const answer = useApi<{ span: { from: number; until: number }; extent: Extent
    found: { events: EventRow[]; scanned: number; total: number; matched: number; stopped: boolean } }>(path, revision)
  const f = answer.value?.found
  return <>
    <div class="bar"><Period params={params} span={answer.value?.span} extent={answer.value?.extent} /><Command of={request(path)} /></div>
    <section class="card">
      <h1>Events</h1>
      <form class="search" role="search" onSubmit={e => {
        e.preventDefault()
        go(change(Object.fromEntries([...new FormData(e.target as HTMLFormElement)].map(([k, v]) => [k, String(v)]))))
      }}>{fields.map(([name, label]) => <label key={name}>{label} <input name={name} value={wanted[name]} spellcheck={false} autocomplete="off" /></label>)}
        <button type="submit">Search</button></form>
      <State of={answer} />
      {f && <p role="status" class="dim">{number(f.matched)} of {number(f.scanned)} events match{f.matched > f.events.length && <>; the newest {f.events.length} are shown. <a href={change({ limit: '1000' })}>Show up to 1,000</a></>}
        {f.stopped && <>. The search stopped at its limit: {number(f.scanned)} of {number(f.total)} events were looked at; choose a shorter period</>}.</p>}
      {f && <Events list={f.events} />}
      {f && <ExportEvents list={f.events} />}
    </section>
  </>
}
