// The page: the view that the address names, below a line with the others.
import { render } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { About, here, href, period, useApi, useChanges } from './lib'
import { AnomalyView, EntityView, OverviewView } from './views'
import { EventsView, EventView } from './events'
import { PipelineView } from './pipeline'
import 'uplot/dist/uPlot.min.css'
import './style.css'

const titles: Record<string, string> = { '/': 'Overview', '/anomaly': 'Anomaly', '/entity': 'Entity', '/events': 'Events', '/event': 'Event',
  '/pipeline': 'Pipeline' }

function Page() {
  const [at, set] = useState(here())
  const [changes, connected] = useChanges()
  const about = useApi<About>('/pipeline').value ?? { title: '', live: true }
  const main = useRef<HTMLElement>(null)
  const shown = useRef(at.path)
  useEffect(() => {
    const f = () => set(here())
    addEventListener('popstate', f)
    addEventListener('click', e => { // links within the page do not load it again
      const a = (e.target as Element).closest?.('a')
      if (!a || a.origin !== location.origin || a.pathname.startsWith('/api/') || e.button || e.metaKey || e.ctrlKey || e.shiftKey || a.target) return
      e.preventDefault()
      if (a.href !== location.href) history.pushState(null, '', a.href)
      scrollTo(0, 0)
      f()
    })
    return () => removeEventListener('popstate', f)
  }, [])
  useEffect(() => {
    document.title = `${titles[at.path] ?? 'Not found'} – Keytrail`
    if (shown.current !== at.path) main.current?.focus() // a reader hears the new view
    shown.current = at.path
  }, [at])
  const link = (path: string, name: string) => <a href={href(path, period(at.params))} aria-current={at.path === path ? 'page' : undefined}>{name}</a>
  const views: Record<string, () => preact.JSX.Element> = {
    '/': () => <OverviewView params={at.params} about={about} revision={changes} />,
    '/anomaly': () => <AnomalyView params={at.params} about={about} revision={changes} />,
    '/entity': () => <EntityView params={at.params} about={about} revision={changes} />,
    '/events': () => <EventsView params={at.params} revision={changes} />,
    '/event': () => <EventView params={at.params} />,
    '/pipeline': () => <PipelineView revision={changes} />,
  }
  return <>
    <a class="skip" href="#main" onClick={e => { e.preventDefault(); e.stopPropagation(); main.current?.focus() }}>To the content</a>
    <header><span class="brand">Keytrail</span>
      <nav aria-label="Views">{link('/', 'Overview')}{link('/events', 'Events')}{link('/pipeline', 'Pipeline')}</nav>
      <span class={connected ? 'net' : 'net off'} role="status">{connected ? '' : 'not connected: what is shown may be old'}</span></header>
    <main id="main" ref={main} tabIndex={-1}>{(views[at.path] ?? (() => <section class="card"><h1>Not found</h1><p>The page has no view at this address. <a href="/">Go to the overview</a></p></section>))()}</main>
  </>
}

render(<Page />, document.getElementById('page')!)
