// Builds dist from src: one script and one style sheet, whose names contain a hash of their
// content, compressed, and the page that names them. The same sources give the same bytes.
//
//   node build.mjs [DIR]   DIR holds node_modules; by default this folder
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const here = dirname(fileURLToPath(import.meta.url))
const modules = join(resolve(process.argv[2] ?? here), 'node_modules')
const { build } = createRequire(join(modules, 'x'))('esbuild')

const { outputFiles } = await build({
  entryPoints: [join(here, 'src/main.tsx')], bundle: true, minify: true, write: false, outdir: here, format: 'esm', target: 'es2022',
  jsx: 'automatic', jsxImportSource: 'preact', nodePaths: [modules], legalComments: 'none', charset: 'utf8',
})
const dist = join(process.env.OUT ?? join(here, 'dist'))
rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })

let total = 0
const put = (name, ext, text, notice = '') => {
  const hash = createHash('sha256').update(notice + text).digest('hex').slice(0, 12)
  const zipped = gzipSync(notice + text, { level: 9 })
  zipped[9] = 255 // the byte of the operating system
  total += zipped.length
  writeFileSync(join(dist, `${name}-${hash}${ext}.gz`), zipped)
  return `${name}-${hash}${ext}`
}
const out = ext => outputFiles.find(f => f.path.endsWith(ext)).text
const notice = '/* Contains Preact (c) Jason Miller and uPlot (c) Leon Sorokin, both under the MIT licence. */\n'
const page = readFileSync(join(here, 'src/index.html'), 'utf8')
  .replace('SCRIPT', put('page', '.js', out('.js'), notice))
  .replace('STYLE', put('page', '.css', out('.css'), notice))
  .replace('ICON', put('icon', '.svg', readFileSync(join(here, 'src/icon.svg'), 'utf8')))
writeFileSync(join(dist, 'index.html'), page)
total += gzipSync(page).length

// A test of the server compares this with the sources, without Node.
const sources = createHash('sha256')
for (const name of ['build.mjs', 'package-lock.json', ...readdirSync(join(here, 'src')).sort().map(n => 'src/' + n)]) {
  sources.update(name + '\n').update(readFileSync(join(here, name))).update('\n')
}
writeFileSync(join(dist, 'sources.sha256'), sources.digest('hex') + '\n')
console.log(`${total} bytes compressed`)
if (total > 120_000) throw new Error('the page is larger than 120 kB')
