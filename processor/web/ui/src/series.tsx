// Calls over time as bars, with the expected number as a line.
import uPlot from 'uplot'
import { useEffect } from 'preact/hooks'
import { drawGap } from './heat'
import { color, go, change, rfc, useDark, useWidth } from './lib'

export type Point = { t: number; calls: number; denied: number; failed: number; anomalies?: number; open?: boolean }
export type Series = { window_seconds: number; from: number; until: number; points: Point[]; gaps: [number, number][] }

// columns returns the series with a point for every window: one that is not there counted
// nothing, or was not recorded.
function columns(s: Series): [number[], number[], number[]] {
  const by = new Map(s.points.map(p => [p.t, p]))
  const t: number[] = [], calls: number[] = [], refused: number[] = []
  const first = s.points.length ? Math.min(s.from + (s.points[0].t - s.from) % s.window_seconds, s.points[0].t) : s.from
  for (let at = first; at < s.until; at += s.window_seconds) {
    t.push(at)
    calls.push(by.get(at)?.calls ?? 0)
    refused.push((by.get(at)?.denied ?? 0) + (by.get(at)?.failed ?? 0))
  }
  return [t, calls, refused]
}

export function Chart({ series, expected, marks, label, zoom }: {
  series: Series; expected?: number; marks: number[]; label: string; zoom?: boolean
}) {
  const [ref, box, width] = useWidth()
  const dark = useDark()
  useEffect(() => {
    if (!box || width < 50 || !series.points.length) return
    const [t, calls, refused] = columns(series)
    const font = '11px system-ui, sans-serif'
    const lines = { stroke: color('--dim'), grid: { stroke: color('--line'), width: 1 }, ticks: { stroke: color('--line') }, font }
    const bars = uPlot.paths.bars!({ size: [0.9, 40], align: 1 })
    const plot = new uPlot({
      width, height: 180, legend: { show: false }, cursor: { y: false, drag: { x: !!zoom, y: false, setScale: false } },
      tzDate: s => uPlot.tzDate(new Date(s * 1000), 'UTC'),
      scales: { y: { range: (_, __, max) => [0, Math.max(max, expected ?? 0, 1) * 1.1] } },
      axes: [{ ...lines, values: (_, list) => list.map(s => rfc(s).slice(s % 86400 ? 11 : 5, s % 86400 ? 16 : 10)) },
        { ...lines, size: 48 }],
      series: [{}, { label: 'calls', fill: color('--bar'), stroke: color('--bar'), width: 0, paths: bars, points: { show: false } },
        { label: 'refused or failed', fill: color('--refused'), stroke: color('--refused'), width: 0, paths: bars, points: { show: false } }],
      hooks: {
        drawClear: [u => {
          const g = u.ctx, x = (column: number) => u.valToPos(series.from + column * series.window_seconds, 'x', true)
          g.save()
          g.beginPath()
          g.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height)
          g.clip()
          for (const [a, b] of series.gaps) drawGap(g, x(a), u.bbox.top, x(b) - x(a), u.bbox.height)
          g.restore()
        }],
        draw: [u => {
          const g = u.ctx, ratio = devicePixelRatio || 1
          if (expected !== undefined) {
            const y = u.valToPos(expected, 'y', true)
            g.save()
            g.strokeStyle = color('--expected')
            g.lineWidth = 1.5 * ratio
            g.setLineDash([5 * ratio, 4 * ratio])
            g.beginPath()
            g.moveTo(u.bbox.left, y)
            g.lineTo(u.bbox.left + u.bbox.width, y)
            g.stroke()
            g.restore()
          }
          g.fillStyle = color('--severity-critical')
          for (const m of marks) {
            const x = u.valToPos(m + series.window_seconds / 2, 'x', true), y = u.bbox.top + 2 * ratio, r = 5 * ratio
            g.beginPath()
            g.moveTo(x - r, y)
            g.lineTo(x + r, y)
            g.lineTo(x, y + r * 1.4)
            g.fill()
          }
        }],
        setSelect: [u => {
          if (u.select.width > 4) {
            const a = u.posToVal(u.select.left, 'x'), b = u.posToVal(u.select.left + u.select.width, 'x')
            go(change({ range: '', from: rfc(Math.floor(a)), until: rfc(Math.ceil(b)) }))
          }
        }],
      },
    }, [t, calls, refused], box)
    const canvas = box.querySelector('canvas')
    canvas?.setAttribute('aria-hidden', 'true') // the text beside it says the same
    return () => plot.destroy()
  }, [series, expected, box, width, dark])
  const most = series.points.reduce((a, b) => b.calls > a.calls ? b : a, { t: 0, calls: 0 } as Point)
  return <figure class="chart">
    <div ref={ref} />
    {!series.points.length && <p class="quiet">The history has no windows of this time.</p>}
    <figcaption>{label}
      <span class="key bar" />calls <span class="key refused" />refused or failed
      {expected !== undefined && <><span class="key expected" />expected</>} <span class="key mark" />anomaly
      {series.gaps.length > 0 && <> <span class="hatch" aria-hidden="true" /> nothing recorded, of any key<span class="sr">, {series.gaps
        .map(([a, b]) => `${rfc(series.from + a * series.window_seconds)} to ${rfc(series.from + b * series.window_seconds)}`).slice(0, 20).join(', ')}</span></>}
      {most.calls > 0 && <span class="sr">; the most are {most.calls} calls at {rfc(most.t)}</span>}</figcaption>
  </figure>
}
