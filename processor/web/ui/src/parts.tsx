// Parts that several views share.
import { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { change, clock, Entity, entityLink, entityName, fullName, go, href, length, Loaded, local, Params, period, rfc, seconds, spoken, utc } from './lib'

export type Summary = Entity & { id: string; severity: string; kind: string; detector: string; state: string; score: number
  start: string; end: string; sentence: string }

export type Extent = { window_seconds: number; first: number; until: number }

// State shows what is loading or has failed, above what was there before.
export function State({ of }: { of: Loaded<unknown> }) {
  if (of.error) return <p class="failed" role="alert">{of.error}</p>
  if (!of.value) return <p class="quiet" role="status">Loading …</p>
  return null
}

export function Severity({ of }: { of: string }) {
  return <span class={'badge ' + of}>{of}</span>
}

// Time is a time in UTC, with the reader's own beside it.
export function Time({ at }: { at: number }) {
  const own = local(at)
  return <time dateTime={rfc(at)} title={own}>{utc(at)}{own && <small class="dim"> {own}</small>}</time>
}

export function Name({ of, at }: { of: Entity; at?: Params }) {
  const { name, where } = entityName(of)
  return <a href={entityLink(of, at)} title={fullName(of)}>{name}{where && <small class="dim"> {where}</small>}</a>
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [done, set] = useState(false)
  return <button type="button" onClick={async () => { await navigator.clipboard.writeText(text); set(true); setTimeout(() => set(false), 2000) }}>
    {done ? 'Copied' : label}</button>
}

// Command copies a command for a terminal that shows the same.
export function Command({ of }: { of: string }) {
  return <span class="command" title={of}><Copy text={of} label="Copy as command" /></span>
}

// Anomalies is a list of anomalies, each with its sentence.
export function Anomalies({ list, empty }: { list: Summary[]; empty: string }) {
  if (!list.length) return <p class="quiet">{empty}</p>
  return <ol class="anomalies">{list.map(a => <li key={a.id}>
    <a href={href('/anomaly', { id: a.id })}>
      <Severity of={a.severity} /> <b>{a.kind.replace('_', ' ')}</b>
      <span class="dim"> {a.kind === a.detector ? '' : a.detector.replaceAll('_', ' ')}</span>
      <span class="when">{utc(seconds(a.start))}{a.state === 'ended' ? '' : ' · open'}</span>
      <span class="sentence" title={a.sentence}>{spoken(a.sentence)}</span>
    </a></li>)}</ol>
}

const ranges: [string, string][] = [['3600', '1 h'], ['21600', '6 h'], ['86400', '24 h'], ['604800', '7 d'], ['3024000', '35 d']]

const input = (s: number) => utc(s).slice(0, 16).replace(' ', 'T')

// Period chooses the period of a view.
export function Period({ params, span, extent }: { params: Params; span?: { from: number; until: number }; extent?: Extent }) {
  const chosen = params.from || params.until ? '' : params.range ?? ''
  return <div class="period" role="group" aria-label="Period">
    {ranges.map(([value, name]) => <button type="button" key={value} aria-pressed={chosen === value}
      onClick={() => go(change({ range: value, from: '', until: '' }))}>{name}</button>)}
    {extent && extent.until > extent.first && <button type="button" aria-pressed={false}
      onClick={() => go(change({ range: '', from: rfc(extent.first), until: rfc(extent.until) }))}>all</button>}
    {span && <details><summary>other</summary><form onSubmit={e => {
      e.preventDefault()
      const data = new FormData(e.target as HTMLFormElement), at = (name: string) => data.get(name) ? rfc(seconds(data.get(name) + 'Z')) : ''
      go(change({ range: '', from: at('from'), until: at('until') }))
    }}><label>from, UTC <input type="datetime-local" name="from" value={input(span.from)} /></label>
      <label>until, UTC <input type="datetime-local" name="until" value={input(span.until)} /></label> <button type="submit">Show</button></form></details>}
    {span && <span class="dim span">{utc(span.from)} – {utc(span.until)} <span class="wide">({length(span.until - span.from)})</span></span>}
  </div>
}

// Choice is a labelled select whose value is a parameter of the address.
export function Choice({ name, label, params, options }: { name: string; label: string; params: Params; options: [string, string][] }) {
  return <label>{label} <select value={params[name] ?? options[0][0]}
    onChange={e => go(change({ [name]: (e.target as HTMLSelectElement).value }))}>
    {options.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select></label>
}

// Find is a text field whose value is a parameter of the address.
export function Find({ name, label, params }: { name: string; label: string; params: Params }) {
  return <form role="search" onSubmit={e => {
    e.preventDefault()
    go(change({ [name]: new FormData(e.target as HTMLFormElement).get('text') as string }))
  }}><label>{label} <input type="search" name="text" value={params[name] ?? ''} spellcheck={false} autocomplete="off" /></label></form>
}

// Counts is a small table of names and numbers with bars.
export function Counts({ title, counts }: { title: string; counts: [string, number][] }) {
  const most = Math.max(...counts.map(([, n]) => n), 1)
  return <section class="card"><h2>{title}</h2>
    {!counts.length && <p class="quiet">none</p>}
    <table class="counts"><tbody>{counts.map(([name, n]) => <tr key={name}><th scope="row">{name.replaceAll('_', ' ')}</th>
      <td>{n.toLocaleString('en-US')}</td><td class="bar" aria-hidden="true"><span style={{ width: `${100 * n / most}%` }} /></td></tr>)}</tbody></table>
  </section>
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return <><dt>{name}</dt><dd>{children}</dd></>
}

export { period, clock }
