// Pipeline: what was read, and how the stages are.
import { number, useApi } from './lib'
import { Extent, Fact, State, Time } from './parts'

type Answer = { extent: Extent; pipeline: null | { scan?: Record<string, number | Record<string, number>>
  parts?: { part: string; ready: boolean; troubles?: { condition: string; detail: string; since: string }[] }[] } }

const words: [string, string][] = [['Objects', 'objects read'], ['Received', 'records received'], ['Counted', 'calls counted'],
  ['Duplicates', 'duplicates'], ['Filtered', 'filtered'], ['DeadLettered', 'dead letters'], ['Windows', 'windows'], ['Anomalies', 'anomalies']]

export function PipelineView({ revision }: { revision: number }) {
  const answer = useApi<Answer>('/pipeline', revision)
  const v = answer.value
  if (!v) return <><h1 class="sr">Pipeline</h1><State of={answer} /></>
  const scan = v.pipeline?.scan, parts = v.pipeline?.parts
  return <>
    <section class="card head"><h1>Pipeline</h1>
      <dl class="facts"><Fact name="First window"><Time at={v.extent.first} /></Fact><Fact name="Last window ends"><Time at={v.extent.until} /></Fact></dl></section>
    {scan && <section class="card"><h2>What the scan read</h2>
      <ol class="flow">{words.map(([name, label]) => <li key={name}><b>{number(scan[name] as number)}</b> {label}</li>)}</ol>
      <p class="dim">received = counted + duplicates + filtered + dead letters</p></section>}
    {parts && <section class="card"><h2>Parts of this process</h2>
      <ul class="plain">{parts.map(p => <li key={p.part}><span class={'badge ' + (p.ready ? 'ok' : 'high')}>{p.ready ? 'ready' : 'not ready'}</span> {p.part}
        {p.troubles?.map(t => <p key={t.condition} class="failed">{t.detail} <span class="dim">since {t.since}</span></p>)}</li>)}</ul></section>}
  </>
}
