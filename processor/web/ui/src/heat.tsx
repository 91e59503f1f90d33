// The heat map: rows are entities, columns periods. A canvas holds the colours; the
// keyboard moves a cursor over its cells, and a table has the same rows for readers who do
// not see it.
import { useEffect, useRef, useState } from 'preact/hooks'
import { change, clock, color, date, Entity, entityLink, entityName, fullName, go, local, rfc, useDark, useWidth, utc } from './lib'

export type Cell = { c: number; s: number; r?: number; v: number; n: number }
export type Row = Entity & { score: number; rules: number; severity: number; anomalies: number; cells: Cell[] }
export type Span = { from: number; until: number; bucket_seconds: number }

const height = 24 // of a row
const axis = 22
export const severities = ['', 'low', 'medium', 'high', 'critical']

// describe says what a cell has.
function describe(row: Row | undefined, name: string, cell: Cell | undefined, gap: boolean, from: number, until: number): string {
  const when = `${utc(from)} to ${clock(until)}`
  if (gap) return `${when}: nothing was recorded, of any key`
  if (!row || !cell) return `${name}, ${when}: no anomaly`
  const parts = [`${cell.n} ${cell.n === 1 ? 'anomaly' : 'anomalies'}, the most severe ${severities[cell.v]}`]
  if (cell.s > 0) parts.push(`score up to ${cell.s.toFixed(1)}`)
  if (cell.r) parts.push(`${cell.r} ${cell.r === 1 ? 'hit' : 'hits'} of rules`)
  return `${name}, ${when}: ${parts.join(', ')}`
}

// shade returns the colour of a score: its strength grows with the score up to 16.
function shade(ramp: number[][], score: number): number[] {
  const at = Math.min(Math.max(score - 2, 0) / 14, 1) * (ramp.length - 1)
  const i = Math.min(Math.floor(at), ramp.length - 2), t = at - i
  return ramp[i].map((v, k) => Math.round(v + (ramp[i + 1][k] - v) * t))
}

const hex = (text: string) => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16))

// useDrawing draws the map whenever its content or its width changes.
function useDrawing(rows: Row[], gaps: [number, number][], span: Span, width: number, dark: boolean,
  columns: number, cursor: [number, number] | null, brush: [number, number] | null) {
  const ref = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const canvas = ref.current
    if (!canvas || width < 20) return
    const began = performance.now()
    const ratio = devicePixelRatio || 1, h = rows.length * height
    canvas.width = width * ratio
    canvas.height = (h + axis) * ratio
    const g = canvas.getContext('2d')!
    g.scale(ratio, ratio)
    const w = width / columns
    const ramp = ['--heat-0', '--heat-1', '--heat-2', '--heat-3'].map(n => hex(color(n)))
    const quiet = hex(color('--cell'))
    const image = new ImageData(columns, Math.max(rows.length, 1))
    for (let i = 0; i < image.data.length; i += 4) image.data.set([...quiet, 255], i)
    rows.forEach((row, y) => row.cells.forEach(c => {
      if (c.c < 0 || c.c >= columns || c.s <= 0) return
      image.data.set([...shade(ramp, c.s), 255], 4 * (y * columns + c.c))
    }))
    const small = new OffscreenCanvas(columns, Math.max(rows.length, 1))
    small.getContext('2d')!.putImageData(image, 0, 0)
    g.imageSmoothingEnabled = false
    g.drawImage(small, 0, 0, columns, rows.length, 0, 0, width, h)
    for (const [a, b] of gaps) drawGap(g, a * w, 0, (b - a) * w, h)
    g.strokeStyle = color('--page')
    g.lineWidth = 1
    g.beginPath()
    for (let y = 1; y < rows.length; y++) g.moveTo(0, y * height - .5), g.lineTo(width, y * height - .5)
    if (w >= 6) for (let x = 1; x < columns; x++) g.moveTo(x * w, 0), g.lineTo(x * w, h)
    g.stroke()
    drawRules(g, rows, w)
    drawAxis(g, span, width, h)
    const frame = (x: number, y: number, fw: number, fh: number, name: string) => {
      g.strokeStyle = color(name)
      g.lineWidth = 2
      g.strokeRect(x, y, fw, fh)
    }
    if (cursor) frame(cursor[0] * w, cursor[1] * height, Math.max(w, 4), height - 1, '--focus')
    if (brush) {
      const [a, b] = [Math.min(...brush), Math.max(...brush) + 1]
      g.fillStyle = color('--brush')
      g.fillRect(a * w, 0, (b - a) * w, h)
      frame(a * w, 1, (b - a) * w, h - 2, '--focus')
    }
    canvas.dataset.ms = (performance.now() - began).toFixed(1)
    canvas.dataset.cells = String(rows.length * columns)
  }, [rows, gaps, span, width, dark, columns, cursor, brush])
  return ref
}

// drawGap hatches a rectangle in which nothing was recorded.
export function drawGap(g: CanvasRenderingContext2D, x: number, y: number, w: number, h: number) {
  g.save()
  g.beginPath()
  g.rect(x, y, w, h)
  g.clip()
  g.fillStyle = color('--gap')
  g.fillRect(x, y, w, h)
  g.strokeStyle = color('--gap-line')
  g.lineWidth = 1
  g.beginPath()
  for (let i = Math.floor(-h / 6); i * 6 < w; i++) g.moveTo(x + i * 6, y + h), g.lineTo(x + i * 6 + h, y)
  g.stroke()
  g.restore()
}

// drawRules draws a diamond on the cells that a rule has hit.
function drawRules(g: CanvasRenderingContext2D, rows: Row[], w: number) {
  rows.forEach((row, y) => row.cells.forEach(c => {
    if (!c.r) return
    const x = c.c * w + w / 2, m = y * height + height / 2
    g.beginPath()
    g.moveTo(x, m - 5)
    g.lineTo(x + 5, m)
    g.lineTo(x, m + 5)
    g.lineTo(x - 5, m)
    g.closePath()
    g.fillStyle = color('--severity-' + severities[c.v])
    g.fill()
    g.strokeStyle = color('--page')
    g.lineWidth = 1.5
    g.stroke()
  }))
}

// drawAxis writes times below the map.
function drawAxis(g: CanvasRenderingContext2D, span: Span, width: number, h: number) {
  const total = span.until - span.from
  const step = [300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400]
    .find(s => total / s <= Math.max(width / 90, 1)) ?? 28 * 86400
  g.fillStyle = color('--dim')
  g.font = '11px system-ui, sans-serif'
  g.textBaseline = 'middle'
  for (let t = Math.ceil(span.from / step) * step; t < span.until; t += step) {
    const x = (t - span.from) / total * width
    g.fillRect(Math.round(x), h, 1, 4)
    if (x < width - 40) g.fillText(t % 86400 === 0 ? date(t) : clock(t), x + 3, h + 12)
  }
}

export function Heat({ rows, others, hidden, gaps, span }: {
  rows: Row[]; others: Row; hidden: number; gaps: [number, number][]; span: Span
}) {
  const [box, , width] = useWidth()
  const dark = useDark()
  const [cursor, setCursor] = useState<[number, number] | null>(null)
  const [brush, setBrush] = useState<[number, number] | null>(null)
  const all = hidden ? [...rows, others] : rows
  const columns = Math.max(Math.ceil((span.until - span.from) / span.bucket_seconds), 1)
  const canvas = useDrawing(all, gaps, span, width, dark, columns, cursor, brush)
  const time = (c: number) => span.from + c * span.bucket_seconds
  const nameOf = (y: number) => y < rows.length ? entityName(rows[y]).name : `${hidden} others`
  const text = cursor ? describe(all[cursor[1]], nameOf(cursor[1]), all[cursor[1]]?.cells.find(c => c.c === cursor[0]),
    gaps.some(([a, b]) => cursor[0] >= a && cursor[0] < b), time(cursor[0]), time(cursor[0] + 1)) : ''

  const zoom = (a: number, b: number) => go(change({ range: '', from: rfc(time(a)), until: rfc(Math.min(time(b), span.until)) }))
  const open = ([c, y]: [number, number]) => {
    if (y >= rows.length) return
    const around = 12 * span.bucket_seconds
    go(entityLink(rows[y], { from: rfc(time(c) - around), until: rfc(time(c + 1) + around) }))
  }
  const at = (e: PointerEvent): [number, number] => {
    const r = canvas.current!.getBoundingClientRect()
    return [Math.min(Math.max(Math.floor((e.clientX - r.left) / r.width * columns), 0), columns - 1),
      Math.min(Math.max(Math.floor((e.clientY - r.top) / height), 0), Math.max(all.length - 1, 0))]
  }
  const keys = (e: KeyboardEvent) => {
    const [x, y] = cursor ?? [0, 0]
    const jump = e.shiftKey ? 10 : 1
    const to: Record<string, [number, number]> = {
      ArrowLeft: [x - jump, y], ArrowRight: [x + jump, y], ArrowUp: [x, y - 1], ArrowDown: [x, y + 1],
      Home: [0, y], End: [columns - 1, y],
    }
    if (to[e.key]) {
      setCursor([Math.min(Math.max(to[e.key][0], 0), columns - 1), Math.min(Math.max(to[e.key][1], 0), all.length - 1)])
    } else if (e.key === 'Enter' && cursor) open(cursor)
    else if (e.key === '+' || e.key === '=') zoom(Math.max(x - Math.ceil(columns / 8), 0), x + Math.ceil(columns / 8))
    else if (e.key === 'Escape') setCursor(null)
    else return
    e.preventDefault()
  }
  if (!all.length) return <div class="quiet">No anomalies in this period.</div>
  return <div class="heat">
    <div class="labels" style={{ paddingBottom: axis + 'px' }}>
      {rows.map(r => {
        const { name, where } = entityName(r)
        return <a key={fullName(r)} href={entityLink(r, { from: rfc(span.from), until: rfc(span.until) })} title={fullName(r)}>
          <span class={'sev ' + severities[r.severity]} aria-hidden="true" />{name} <small>{where}</small></a>
      })}
      {hidden > 0 && <span class="others">{hidden} others</span>}
    </div>
    <div class="map" ref={box}>
      <canvas ref={canvas} style={{ width: width + 'px', height: all.length * height + axis + 'px' }} tabIndex={0}
        role="application" aria-roledescription="heat map" aria-describedby="heat-help"
        aria-label={`Anomaly scores of ${rows.length} rows from ${utc(span.from)} to ${utc(span.until)}`}
        onKeyDown={keys} onBlur={() => setCursor(null)}
        onPointerDown={e => { (e.currentTarget as Element).setPointerCapture(e.pointerId); setBrush([at(e)[0], at(e)[0]]) }}
        onPointerMove={e => { setCursor(at(e)); if (brush) setBrush([brush[0], at(e)[0]]) }}
        onPointerLeave={() => { if (!brush) setCursor(null) }}
        onPointerUp={e => {
          if (!brush) return
          const end = at(e)
          setBrush(null)
          if (Math.abs(end[0] - brush[0]) >= 2) zoom(Math.min(brush[0], end[0]), Math.max(brush[0], end[0]) + 1)
          else open(end)
        }} />
      <p class="read" role="status" aria-live="polite">{text || 'Drag to zoom, click a cell to open it.'}
        {cursor && local(time(cursor[0])) && <span class="dim"> ({local(time(cursor[0]))})</span>}</p>
      <p id="heat-help" class="sr">Arrow keys move the cursor over the cells, with Shift by ten. Enter opens the entity at
        that time, plus zooms, Escape leaves. The table after this map has the same rows.</p>
    </div>
    <HeatTable rows={rows} span={span} />
  </div>
}

// HeatTable is the map for readers who do not see it.
function HeatTable({ rows, span }: { rows: Row[]; span: Span }) {
  return <div class="sr"><table>
    <caption>Rows of the heat map</caption>
    <thead><tr><th scope="col">Entity</th><th scope="col">Most severe</th><th scope="col">Highest score</th>
      <th scope="col">Hits of rules</th><th scope="col">Anomalies</th><th scope="col">Times</th></tr></thead>
    <tbody>{rows.map(r => <tr key={fullName(r)}>
      <th scope="row">{fullName(r)}</th><td>{severities[r.severity]}</td><td>{r.score.toFixed(1)}</td><td>{r.rules}</td>
      <td>{r.anomalies}</td><td>{r.cells.slice(0, 20).map(c => utc(span.from + c.c * span.bucket_seconds)).join(', ')}</td></tr>)}
    </tbody>
  </table></div>
}
