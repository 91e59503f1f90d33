// The address, the API and the forms of times and names.
import { useEffect, useState } from 'preact/hooks'

export type Params = Record<string, string>

export type Place = { path: string; params: Params }

export function here(): Place {
  return { path: location.pathname, params: Object.fromEntries(new URLSearchParams(location.search)) }
}

// href returns the address of a view; parameters without a value are left out.
export function href(path: string, params: Params = {}): string {
  const list = Object.entries(params).filter(([, v]) => v !== '')
  return path + (list.length ? '?' + new URLSearchParams(list) : '')
}

// go opens a view as a new entry of the history, or in the place of the current one.
export function go(to: string, replace = false): void {
  if (to !== location.pathname + location.search) history[replace ? 'replaceState' : 'pushState'](null, '', to)
  dispatchEvent(new PopStateEvent('popstate'))
}

// change returns the current view with some parameters changed.
export function change(params: Params): string {
  const at = here()
  return href(at.path, { ...at.params, ...params })
}

export type Loaded<T> = { value?: T; error?: string; busy: boolean }

// useApi loads an answer of the API, and again when revision changes. The last answer stays
// while the next one is on its way.
export function useApi<T>(path: string, revision = 0): Loaded<T> {
  const [state, set] = useState<Loaded<T> & { path?: string }>({ busy: true })
  useEffect(() => {
    const abort = new AbortController()
    set(s => ({ ...s, busy: true }))
    fetch('/api/v1' + path, { signal: abort.signal })
      .then(async r => {
        const body = await r.json()
        if (!r.ok) throw new Error(body.detail ?? `The server answers ${r.status}.`)
        set({ value: body, busy: false, path })
      })
      .catch(e => {
        if (abort.signal.aborted) return
        const error = e instanceof TypeError ? 'Keytrail does not answer. It may have ended; start it again.' : e.message
        set(s => ({ value: s.path === path ? s.value : undefined, error, busy: false, path }))
      })
    return () => abort.abort()
  }, [path, revision])
  return state
}

// useChanges counts the events "changed" of the server's stream.
export function useChanges(): [number, boolean] {
  const [state, set] = useState<[number, boolean]>([0, true])
  useEffect(() => {
    const stream = new EventSource('/api/v1/stream')
    stream.addEventListener('changed', () => set(([n]) => [n + 1, true]))
    stream.addEventListener('hello', () => set(([n]) => [n, true]))
    stream.onerror = () => set(([n]) => [n, false])
    return () => stream.close()
  }, [])
  return state
}

// useWidth returns a ref, its element, and the width of that.
export function useWidth(): [(e: HTMLElement | null) => void, HTMLElement | null, number] {
  const [element, ref] = useState<HTMLElement | null>(null)
  const [width, set] = useState(0)
  useEffect(() => {
    if (!element) return
    const watch = new ResizeObserver(list => set(Math.floor(list[0].contentRect.width)))
    watch.observe(element)
    return () => watch.disconnect()
  }, [element])
  return [ref, element, width]
}

// useDark reports whether the reader prefers dark colours.
export function useDark(): boolean {
  const query = matchMedia('(prefers-color-scheme: dark)')
  const [dark, set] = useState(query.matches)
  useEffect(() => {
    const f = () => set(query.matches)
    query.addEventListener('change', f)
    return () => query.removeEventListener('change', f)
  }, [])
  return dark
}

export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

const two = (n: number) => String(n).padStart(2, '0')

export const rfc = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')

// utc writes a time as 2026-03-02 09:00Z, with seconds only if it has any.
export function utc(seconds: number): string {
  const d = new Date(seconds * 1000)
  const s = Math.floor(seconds) % 60
  return `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ` +
    `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}${s ? ':' + two(s) : ''}Z`
}

export const clock = (seconds: number) => utc(seconds).slice(11, -1)
export const date = (seconds: number) => utc(seconds).slice(5, 10)

// local writes the same time in the reader's zone, and '' where that is UTC.
export function local(seconds: number): string {
  const d = new Date(seconds * 1000)
  if (d.getTimezoneOffset() === 0) return ''
  return d.toLocaleString(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' })
}

export const seconds = (text: string) => Date.parse(text) / 1000

// length writes a number of seconds as 5 min, 2 h or 35 d.
export function length(s: number): string {
  for (const [unit, size] of [['d', 86400], ['h', 3600], ['min', 60]] as const) {
    if (s >= size && s % size === 0) return `${s / size} ${unit}`
  }
  return s >= 86400 ? `${(s / 86400).toFixed(1)} d` : s >= 3600 ? `${(s / 3600).toFixed(1)} h` : `${s} s`
}

export const number = (n: number) => n > 0 && n < .01 ? 'less than 0.01' : n.toLocaleString('en-US', { maximumFractionDigits: n < 10 ? 2 : 0 })

export type Entity = { scope: string; key?: string; principal?: string }

// short returns the part of a name that a person knows it by, and its account and Region.
export function short(name: string): { name: string; where: string } {
  if (name === '-') return { name: 'calls without a key', where: '' }
  const parts = name.split(':')
  if (parts.length < 6) return { name, where: '' }
  const own = parts.slice(5).join(':').replace(/^role\/aws-reserved\/.*AWSReservedSSO_(.+)_[0-9a-f]+$/, '$1 (SSO)')
  return { name: own, where: [parts[4], parts[3]].filter(Boolean).join(' · ') }
}

export function entityName(e: Entity): { name: string; where: string } {
  if (e.scope === 'principal') return short(e.principal ?? '')
  if (e.scope === 'key') return short(e.key ?? '')
  const p = short(e.principal ?? ''), k = short(e.key ?? '')
  return { name: `${p.name} on ${k.name}`, where: k.where || p.where }
}

// spoken is a sentence with the short forms of the names in it.
export function spoken(sentence: string): string {
  return sentence.replace(/arn:[a-z-]+:[^\s,;()]+[^\s,;().]/g, name => short(name).name)
}

export function fullName(e: Entity): string {
  return [e.principal, e.key].filter(Boolean).join(' on ')
}

// entityLink is the address of an entity's view.
export function entityLink(e: Entity, period: Params = {}): string {
  return href('/entity', { scope: e.scope, key: e.key ?? '', principal: e.principal ?? '', ...period })
}

// period keeps the parameters of the address that choose a period.
export function period(params: Params): Params {
  const { range = '', from = '', until = '' } = params
  return { range, from, until }
}

// indent lays out JSON over lines. It moves only the spaces between tokens, so numbers and
// escapes stay as they were written. Text that is not JSON comes back as it is.
export function indent(text: string): string {
  try {
    JSON.parse(text)
  } catch {
    return text
  }
  let out = '', depth = 0
  const line = () => { out += '\n' + '  '.repeat(depth) }
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+|[{}[\],:]/gs)) {
    if (token === '}' || token === ']') {
      depth--
      if (out.endsWith('{') || out.endsWith('[')) out += token
      else { line(); out += token }
      continue
    }
    if (out.endsWith('{') || out.endsWith('[')) line()
    out += token
    if (token === '{' || token === '[') depth++
    else if (token === ',') line()
    else if (token === ':') out += ' '
  }
  return out
}

// quote writes a word for a shell, without control characters.
export const quote = (word: string) => /^[\w@%+=:,./-]+$/.test(word) ? word
  : `'${word.replace(/[\x00-\x1f\x7f]/g, '?').replaceAll("'", "'\\''")}'`

// About says where the history comes from: of a scan the title has the paths.
export type About = { title: string; live: boolean }

// paths returns the paths of a scan for a command.
const paths = (about: About) => /^[\w@%+=:,./ -]+$/.test(about.title) ? about.title : 'PATHS'

const config = '-c keytrail.yaml'

// explain is the command that shows an anomaly in a terminal.
export const explain = (about: About, id: string) => about.live ? `keytrail explain ${quote(id)} ${config}`
  : `keytrail scan -o json --windows all ${paths(about)} | keytrail explain ${quote(id)} --from -`

// list is the command that lists the anomalies of a period.
export const list = (about: About, from: number, until: number) => about.live
  ? `keytrail explain --list --since ${rfc(from)} --until ${rfc(until)} ${config}`
  : `keytrail scan -o table --since ${rfc(from)} --until ${rfc(until)} ${paths(about)}`

// usage is the command that shows who used a key.
export const usage = (about: About, key: string) => `keytrail usage -o table --key ${quote(key)} ${about.live ? 'PATHS' : paths(about)}`

// request is the command that asks the API for the same as the page.
export const request = (path: string) => `curl -s ${quote(location.origin + '/api/v1' + path)}`
