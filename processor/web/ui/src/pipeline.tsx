// Pipeline: what was read, and how the stages, the sinks and the processes are.
import { useEffect, useState } from 'preact/hooks'
import { length, number, seconds, useApi } from './lib'
import { Extent, Fact, State, Time } from './parts'

type Flow = { received: number; delivered: number; filtered: number; duplicate: number; dead_letters: Record<string, number> | null
  received_per_second: number; delivered_per_second: number }
type Whole = { name: string; processes: number; state: string; sink_state?: string; cause?: string; lag: number; lag_at?: string
  watermark?: string; partitions_unassigned: number; flow: Flow }
type Installation = { at: string; state: string; stages: Whole[]; sinks: Whole[]
  processes: { id: string; host: string; version: string; started: string; age_seconds: number; stale: boolean; memory: { mapped_bytes: number } }[] }
type Trouble = { condition: string; detail: string; since: string }
type Answer = { live: boolean; extent: Extent; pipeline: null | { scan?: Record<string, number | Record<string, number>>
  parts?: { part: string; ready: boolean; troubles?: Trouble[] }[]; installation?: Installation } }

const words: [string, string][] = [['Objects', 'objects read'], ['Received', 'records received'], ['Counted', 'calls counted'],
  ['Duplicates', 'duplicates'], ['Filtered', 'filtered'], ['DeadLettered', 'dead letters'], ['Windows', 'windows'], ['Anomalies', 'anomalies']]

const every = 5000 // the processes report as often

export function PipelineView({ revision }: { revision: number }) {
  const [looks, set] = useState(0)
  const answer = useApi<Answer>('/pipeline', revision + looks)
  const v = answer.value, live = !!v?.pipeline?.installation
  useEffect(() => {
    if (!live) return
    const timer = setInterval(() => set(n => n + 1), every)
    return () => clearInterval(timer)
  }, [live])
  if (!v) return <><h1 class="sr">Pipeline</h1><State of={answer} /></>
  const scan = v.pipeline?.scan, parts = v.pipeline?.parts, all = v.pipeline?.installation
  return <>
    <State of={answer} />
    <section class="card head"><h1>Pipeline {all && <Mood of={all.state} />}</h1>
      <dl class="facts"><Fact name="First window"><Time at={v.extent.first} /></Fact><Fact name="Last window ends"><Time at={v.extent.until} /></Fact></dl></section>
    {scan && <section class="card"><h2>What the scan read</h2>
      <ol class="flow">{words.map(([name, label]) => <li key={name}><b>{number(scan[name] as number)}</b> {label}</li>)}</ol>
      <p class="dim">received = counted + duplicates + filtered + dead letters</p></section>}
    {all && <>
      <section class="card"><h2>Stages, in the order of an event</h2>
        {!all.stages.length && <p class="quiet">No process has reported yet.</p>}
        <ol class="flow">{all.stages.map(s => <Step key={s.name} of={s} now={seconds(all.at)} />)}</ol></section>
      <section class="card"><h2>Sinks</h2>
        {!all.sinks.length && <p class="quiet">none</p>}
        <ol class="flow">{all.sinks.map(s => <Step key={s.name} of={s} now={seconds(all.at)} />)}</ol></section>
      <section class="card"><h2>Processes</h2>
        <ul class="plain">{all.processes.map(p => <li key={p.id}><span class={'badge ' + (p.stale ? 'high' : 'ok')}>{p.stale ? 'gone' : 'reports'}</span> {p.host}
          <span class="dim"> {p.version}, {number(p.memory.mapped_bytes / 1e6)} MB, {Math.round(p.age_seconds)} s ago</span></li>)}</ul></section>
    </>}
    {parts && <section class="card"><h2>Parts of this process</h2>
      <ul class="plain">{parts.map(p => <li key={p.part}><span class={'badge ' + (p.ready ? 'ok' : 'high')}>{p.ready ? 'ready' : 'not ready'}</span> {p.part}
        {p.troubles?.map(t => <p key={t.condition} class="failed">{t.detail} <span class="dim">since <Time at={seconds(t.since)} /></span></p>)}</li>)}</ul></section>}
  </>
}

function Mood({ of }: { of: string }) {
  return <span class={'badge ' + (of === 'ok' || of === 'delivering' ? 'ok' : 'high')}>{of}</span>
}

// Step is one stage or sink of all processes together.
function Step({ of: s, now }: { of: Whole; now: number }) {
  const dead = Object.entries(s.flow.dead_letters ?? {})
  return <li><h3>{s.name}</h3> <Mood of={s.state} /> {s.sink_state && s.sink_state !== 'delivering' && <Mood of={s.sink_state} />}
    {s.cause && <p class="failed">paused: {s.cause}; remove the cause, and the sink goes on where it stopped</p>}
    <dl class="facts">
      <Fact name="In">{number(s.flow.received)} <span class="dim">{number(s.flow.received_per_second)}/s</span></Fact>
      <Fact name="Out">{number(s.flow.delivered)} <span class="dim">{number(s.flow.delivered_per_second)}/s</span></Fact>
      {s.flow.duplicate > 0 && <Fact name="Duplicates">{number(s.flow.duplicate)}</Fact>}
      {s.flow.filtered > 0 && <Fact name="Filtered">{number(s.flow.filtered)}</Fact>}
      <Fact name="Lag">{s.lag_at ? number(s.lag) : 'unknown'}</Fact>
      {s.watermark && <Fact name="Behind">{length(Math.max(0, Math.round(now - seconds(s.watermark))))}</Fact>}
      <Fact name="Dead letters">{dead.length ? dead.map(([reason, n]) => `${reason} ${number(n)}`).join(', ') : 'none'}</Fact>
      {s.partitions_unassigned > 0 && <Fact name="Unassigned">{number(s.partitions_unassigned)} partitions: no process reads them</Fact>}
    </dl></li>
}
