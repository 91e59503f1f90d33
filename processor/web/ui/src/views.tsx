// The views of overview, anomaly and entity.
import { About, change, entityName, explain, href, length, list, number, Params, period, rfc, seconds, request, short, spoken, usage, useApi } from './lib'
import { Heat, Row, Span } from './heat'
import { Chart, Series } from './series'
import { Anomalies, Choice, Command, Copy, Counts, Extent, Fact, Find, Name, Period, Severity, State, Summary, Time } from './parts'
import { Events, EventRow } from './events'
import { ExportCase } from './export'

type Overview = {
  title: string; live: boolean; extent: Extent; span: Span
  heat: { rows: Row[]; others: Row; hidden: number; facets: { severity: string; kind: string; state: string; count: number }[] }
  gaps: [number, number][]; newest: Summary[]
}

const levels: [string, string][] = [['', 'all'], ['low', 'low and up'], ['medium', 'medium and up'], ['high', 'high and up'],
  ['critical', 'critical']]

export function OverviewView({ params, about, revision }: { params: Params; about: About; revision: number }) {
  const answer = useApi<Overview>(href('/overview', { ...period(params), scope: params.scope ?? '', q: params.q ?? '',
    severity: params.severity ?? '', kind: params.kind ?? '', newest: params.newest ?? '', columns: String(Math.min(Math.max(Math.floor(innerWidth / 8), 48), 240)) }), revision)
  const o = answer.value
  const sum = (by: 'severity' | 'kind') => {
    const m = new Map<string, number>()
    o?.heat.facets.forEach(f => m.set(f[by], (m.get(f[by]) ?? 0) + f.count))
    return [...m].sort((a, b) => b[1] - a[1])
  }
  const kinds = sum('kind')
  return <>
    <h1 class="sr">Overview</h1>
    <div class="bar">
      <Period params={params} span={o?.span} extent={o?.extent} />
      <Choice name="scope" label="Rows" params={params} options={[['key', 'keys'], ['principal', 'principals'], ['pair', 'pairs']]} />
      <Find name="q" label="Search" params={params} />
      {o && <Command of={list(about, o.span.from, o.span.until)} />}
    </div>
    <State of={answer} />
    {o && <>
      <section class="card" aria-label="Anomaly scores over time">
        <Heat rows={o.heat.rows} others={o.heat.others} hidden={o.heat.hidden} gaps={o.gaps} span={o.span} />
        <p class="legend"><span class="ramp" aria-hidden="true" /> score of detectors, 2 to 16 <span class="diamond" aria-hidden="true" /> hit of a rule
          <span class="hatch" aria-hidden="true" /> nothing recorded: no coverage, or no calls at all. A column is {length(o.span.bucket_seconds)}.</p>
      </section>
      <div class="two">
        <section class="card main"><h2>Newest anomalies</h2>
          <div class="bar"><Choice name="severity" label="Severity" params={params} options={levels} />
            <Choice name="kind" label="Kind" params={params}
              options={[['', 'all'], ...[...new Set([...kinds.map(([k]) => k), ...(params.kind ? [params.kind] : [])])].map(k => [k, k.replace('_', ' ')] as [string, string])]} /></div>
          <Anomalies list={o.newest} empty="No anomalies in this period." />
          {o.newest.length === 20 && !params.newest && <p><a href={change({ newest: '200' })}>Show up to 200</a></p>}</section>
        <div>
          <Facet title="By severity" name="severity" counts={['critical', 'high', 'medium', 'low'].map(s => [s, new Map(sum('severity')).get(s) ?? 0])} />
          <Facet title="By kind" name="kind" counts={kinds} />
        </div>
      </div></>}
  </>
}

// Facet lists counts; a click shows only these anomalies.
function Facet({ title, name, counts }: { title: string; name: string; counts: [string, number][] }) {
  return <section class="card"><h2>{title}</h2>
    <ul class="facet">{counts.map(([v, n]) => <li key={v}><a href={change({ [name]: v })}>
      {name === 'severity' ? <Severity of={v} /> : v.replace('_', ' ')}</a> <span>{number(n)}</span></li>)}</ul></section>
}

type Anomaly = {
  anomaly: Summary; attributes: Record<string, unknown>; resource: Record<string, unknown>; series: Series
  calls: { call: string; events: EventRow[] }[]; same_key: Summary[]; same_principal: Summary[]
}

export function AnomalyView({ params, about, revision }: { params: Params; about: About; revision: number }) {
  const answer = useApi<Anomaly>('/anomalies/' + encodeURIComponent(params.id ?? ''), revision)
  const a = answer.value
  if (!a) return <State of={answer} />
  const s = a.anomaly, at = (name: string) => a.attributes['keytrail.anomaly.' + name]
  const start = seconds(s.start), end = seconds(s.end), size = end - start
  const around = { from: rfc(start - 24 * size), until: rfc(end + 24 * size) }
  const counts = at('observed') !== undefined && !['rule', 'blind_spot'].includes(s.kind)
  return <>
    <State of={answer} />
    <section class="card head">
      <h1><Severity of={s.severity} /> {s.kind.replace('_', ' ')} <span class="dim">{s.detector === s.kind ? '' : s.detector.replaceAll('_', ' ')}</span></h1>
      <p class="said">{s.sentence}</p>
      <dl class="facts">
        <Fact name="Window"><Time at={start} /> <span class="dim">for {length(size)}</span></Fact>
        {s.key && <Fact name="KMS key"><Name of={{ scope: 'key', key: s.key }} at={around} /></Fact>}
        {s.principal && <Fact name="Principal"><Name of={{ scope: 'principal', principal: s.principal }} at={around} /></Fact>}
        {counts && <Fact name="Observed">{number(at('observed') as number)} <span class="dim">where {number((at('expected') as number) ?? 0)} expected</span></Fact>}
        <Fact name="Score">{s.score.toFixed(1)} <span class="dim">= −log₁₀ of the probability</span></Fact>
        <Fact name="State">{s.state}</Fact>
        {at('since') !== undefined && <Fact name="Learned since"><Time at={seconds(at('since') as string)} /></Fact>}
        {at('techniques') !== undefined && <Fact name="ATT&CK">{(at('techniques') as string[]).join(', ')}</Fact>}
        <Fact name="Id"><code>{s.id}</code> <Copy text={s.id} label="Copy" /> <Copy text={location.href} label="Copy link" /> <Command of={explain(about, s.id)} />
          {' '}<ExportCase id={s.id} answer={a} list={a.calls.flatMap(c => c.events)} /></Fact>
      </dl>
    </section>
    <section class="card"><h2>Calls in windows of {length(a.series.window_seconds)}</h2>
      <Chart series={a.series} expected={counts && s.kind === 'rate' ? at('expected') as number : undefined} marks={[start]}
        label={entityName(s).name + ': '} /></section>
    <div class="two">
      <section class="card main"><h2>Its calls</h2>
        {!a.calls.length && <p class="quiet">This kind of anomaly names no calls.</p>}
        <Events list={a.calls.flatMap(c => c.events)} />
        {a.calls.some(c => !c.events.length) && <p class="quiet">{a.calls.filter(c => !c.events.length).length} of its calls are not in the history any longer.</p>}
        <p><a href={href('/events', { from: s.start, until: s.end, key: s.key && s.key !== '-' ? s.key : '', principal: s.principal ?? '' })}>All events of this window</a></p>
      </section>
      <div>
        {at('contributors') !== undefined && <section class="card"><h2>Contributors</h2>
          <ul class="plain">{(at('contributors') as string[]).map(c => <li key={c} title={c}>{spoken(c)}</li>)}</ul></section>}
        <section class="card"><h2>Same key, a day around</h2><Anomalies list={a.same_key.slice(0, 10)} empty="none" /></section>
        <section class="card"><h2>Same principal, a day around</h2><Anomalies list={a.same_principal.slice(0, 10)} empty="none" /></section>
      </div>
    </div>
    <details class="card"><summary>All attributes</summary>
      <dl class="facts">{Object.entries({ ...a.resource, ...a.attributes }).sort().map(([k, v]) => <Fact key={k} name={k}>{Array.isArray(v) ? v.join(', ') : String(v)}</Fact>)}</dl></details>
  </>
}

type EntityAnswer = {
  entity: { scope: string; key?: string; principal?: string }; extent: Extent; span: Span; first: number; last: number; series: Series
  operations: Record<string, number>; contexts: Record<string, number>
  peers: { name: string; calls: number; denied: number; failed: number; first: number; last: number }[]; more_peers: boolean; anomalies: Summary[]
}

const sorted = (m: Record<string, number>) => Object.entries(m).sort((a, b) => b[1] - a[1])

export function EntityView({ params, about, revision }: { params: Params; about: About; revision: number }) {
  const scope = params.scope ?? 'key'
  const answer = useApi<EntityAnswer>(href('/entity', { ...period(params), scope, key: params.key ?? '', principal: params.principal ?? '' }), revision)
  const e = answer.value
  if (!e) return <State of={answer} />
  const { name, where } = entityName(e.entity), at = period(params)
  const other = scope === 'key' ? 'principal' : 'key'
  return <>
    <div class="bar"><Period params={params} span={e.span} extent={e.extent} /></div>
    <State of={answer} />
    <section class="card head">
      <h1>{name} <span class="dim">{where}</span></h1>
      <dl class="facts">
        {e.entity.key && <Fact name={scope === 'key' ? 'Name' : 'KMS key'}><code>{e.entity.key}</code> {scope !== 'key' && <Name of={{ scope: 'key', key: e.entity.key }} at={at} />} <Copy text={e.entity.key} label="Copy" /></Fact>}
        {e.entity.principal && <Fact name={scope === 'principal' ? 'Name' : 'Principal'}><code>{e.entity.principal}</code> {scope !== 'principal' && <Name of={{ scope: 'principal', principal: e.entity.principal }} at={at} />} <Copy text={e.entity.principal} label="Copy" /></Fact>}
        <Fact name="Command"><Command of={scope === 'key' && e.entity.key && e.entity.key !== '-' ? usage(about, e.entity.key)
          : request(href('/entity', { ...at, scope, key: e.entity.key ?? '', principal: e.entity.principal ?? '' }))} /></Fact>
        <Fact name="First use">{e.first ? <Time at={e.first} /> : 'not in the history'}</Fact>
        <Fact name="Last use">{e.last ? <Time at={e.last} /> : 'not in the history'}</Fact>
      </dl>
    </section>
    <section class="card"><h2>Calls per {length(e.series.window_seconds)}</h2>
      <Chart series={e.series} marks={[...new Set(e.anomalies.map(a => seconds(a.start) - seconds(a.start) % e.series.window_seconds))]} label="" zoom /></section>
    <div class="two">
      <div class="main">
        {scope !== 'pair' && <section class="card"><h2>{scope === 'key' ? 'Who used it' : 'Keys that it used'}</h2>
          {!e.peers.length && <p class="quiet">No calls in this period.</p>}
          {e.peers.length > 0 && <div class="scroll" tabIndex={0} role="region" aria-label="Counterparts"><table class="rows"><thead><tr><th scope="col">{other}</th><th scope="col" class="n">calls</th>
            <th scope="col" class="n">denied</th><th scope="col" class="n">failed</th><th scope="col">first</th><th scope="col">last</th></tr></thead>
            <tbody>{e.peers.map(p => <tr key={p.name}><td><a title={p.name} href={href('/entity', { scope: 'pair', key: scope === 'key' ? e.entity.key! : p.name,
              principal: scope === 'key' ? p.name : e.entity.principal!, ...at })}>{short(p.name).name}</a> <small class="dim">{short(p.name).where}</small></td>
              <td class="n">{number(p.calls)}</td><td class="n">{number(p.denied)}</td><td class="n">{number(p.failed)}</td>
              <td><Time at={p.first} /></td><td><Time at={p.last} /></td></tr>)}</tbody></table></div>}
          {e.more_peers && <p class="quiet">There are more than these.</p>}</section>}
        <section class="card"><h2>Anomalies</h2><Anomalies list={e.anomalies} empty="None in this period." /></section>
      </div>
      <div>
        <Counts title="Operations" counts={sorted(e.operations)} />
        <Counts title="Encryption contexts" counts={sorted(e.contexts)} />
        <section class="card"><h2>Events</h2><p><a href={href('/events', { ...at, key: e.entity.key && e.entity.key !== '-' ? e.entity.key : '', principal: e.entity.principal ?? '' })}>Search its events in this period</a></p></section>
      </div>
    </div>
  </>
}
