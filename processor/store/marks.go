package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// mark is an anomaly as the overview needs it. The table marks has one row per start of a
// window, with the marks of all its anomalies, so an overview of 35 days reads some 10,000
// rows however many anomalies there are. A mark has some 30 bytes.
type mark struct {
	anomaly int64 // its number
	score   float64
	rule    bool
	on      [len(scopes)]int64 // the entities by scope in whose rows it counts; 0: none
	facet   []byte             // severity, kind and state as a Facet's code
}

// scopes are the scopes of rows, in the order of mark.on.
var scopes = [...]string{"key", "principal", "pair"}

func (m *mark) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(m.score))
	flag := byte(0)
	if m.rule {
		flag = 1
	}
	dst = binary.AppendUvarint(append(dst, flag), uint64(m.anomaly))
	for _, id := range m.on {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return append(binary.AppendUvarint(dst, uint64(len(m.facet))), m.facet...)
}

// next decodes the first mark of data and returns the rest; ok is false at the end and if
// data is damaged. m.facet stays a part of data.
func (m *mark) next(data []byte) (rest []byte, ok bool) {
	if len(data) < 9 {
		return nil, false
	}
	m.score, m.rule = math.Float64frombits(binary.LittleEndian.Uint64(data)), data[8] != 0
	data = data[9:]
	var size int64
	for _, to := range [...]*int64{&m.anomaly, &m.on[0], &m.on[1], &m.on[2], &size} {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, false
		}
		*to, data = int64(v), data[n:]
	}
	if size < 1 || size > int64(len(data)) || int(data[0]) >= len(Severities) {
		return nil, false
	}
	m.facet = data[:size]
	return data[size:], true
}

// facetCode returns the code of a facet: the severity's number, the kind, a zero byte, the state.
func facetCode(severity int, kind, state string) []byte {
	return append(append(append([]byte{byte(severity)}, kind...), 0), state...)
}

// facetOf returns the facet of a code.
func facetOf(code string, count int64) Facet {
	kind, state, _ := strings.Cut(code[1:], "\x00")
	return Facet{Severities[code[0]], kind, state, count}
}

// mark replaces the mark of an anomaly. Before is the start that it was stored under; -1 for
// a new anomaly.
func (w *writer) mark(before, start int64, m *mark) {
	if before >= 0 {
		kept := []byte{}
		var old mark
		data := w.marksAt(before)
		for rest, ok := old.next(data); ok; rest, ok = old.next(data) {
			if old.anomaly != m.anomaly {
				kept = append(kept, data[:len(data)-len(rest)]...)
			}
			data = rest
		}
		w.marks[before] = kept
	}
	w.marks[start] = m.append(w.marksAt(start))
}

// marksAt returns the marks of the windows that begin at start, with the changes of this transaction.
func (w *writer) marksAt(start int64) []byte {
	data, ok := w.marks[start]
	if !ok {
		w.get(`SELECT data FROM marks WHERE start = ?`, []any{start}, &data)
		w.marks[start] = data
	}
	return data
}

// storeMarks writes the changed marks.
func (w *writer) storeMarks() {
	for start, data := range w.marks {
		if len(data) == 0 {
			w.exec(`DELETE FROM marks WHERE start = ?`, start)
			continue
		}
		w.exec(`INSERT OR REPLACE INTO marks(start, data) VALUES(?, ?)`, start, data)
	}
}

// rows reads the marks of a view: its rows by entity, and the facets of all scopes.
func (s *Store) rows(ctx context.Context, v *View) (map[int64]*Row, []Facet, error) {
	rows, counts := map[int64]*Row{}, map[string]*int64{}
	scope := max(slices.Index(scopes[:], v.Scope), 0)
	err := s.each(ctx, sqlMarks, []any{v.From, v.Until}, func(scan func(...any) error) error {
		var start int64
		var data []byte
		if err := scan(&start, &data); err != nil {
			return err
		}
		var m mark
		for rest, ok := m.next(data); ok; rest, ok = m.next(rest) {
			n := counts[string(m.facet)]
			if n == nil {
				n = new(int64)
				counts[string(m.facet)] = n
			}
			*n++
			id := m.on[scope]
			if id == 0 {
				continue
			}
			r := rows[id]
			if r == nil {
				r = &Row{id: id}
				rows[id] = r
			}
			r.mark((start-v.From)/v.Bucket, &m)
		}
		return nil
	})
	facets := []Facet{}
	for code, n := range counts {
		facets = append(facets, facetOf(code, *n))
	}
	slices.SortFunc(facets, func(a, b Facet) int {
		return cmp.Or(cmp.Compare(slices.Index(Severities[:], a.Severity), slices.Index(Severities[:], b.Severity)),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.State, b.State))
	})
	return rows, facets, err
}

// mark adds an anomaly to a row. Columns do not decrease from call to call.
func (r *Row) mark(column int64, m *mark) {
	c := Cell{Column: column, Severity: int(m.facet[0]), Anomalies: 1}
	if m.rule {
		c.Rules = 1
	} else {
		c.Score = m.score
	}
	if last := len(r.Cells) - 1; last < 0 || r.Cells[last].Column != column {
		r.Cells = append(r.Cells, Cell{Column: column})
	}
	r.Cells[len(r.Cells)-1].add(c)
	r.sum(c)
}

// add adds up two cells of the same column.
func (c *Cell) add(d Cell) {
	c.Score, c.Severity = max(c.Score, d.Score), max(c.Severity, d.Severity)
	c.Rules, c.Anomalies = c.Rules+d.Rules, c.Anomalies+d.Anomalies
}

// sum adds a cell to the row's sums.
func (r *Row) sum(c Cell) {
	r.Score, r.Severity = max(r.Score, c.Score), max(r.Severity, c.Severity)
	r.Rules, r.Anomalies = r.Rules+c.Rules, r.Anomalies+c.Anomalies
}

// before orders rows: by severity, score and number of anomalies, the largest first.
func (r *Row) before(o *Row) int {
	return cmp.Or(cmp.Compare(o.Severity, r.Severity), cmp.Compare(o.Score, r.Score),
		cmp.Compare(o.Anomalies, r.Anomalies), cmp.Compare(r.id, o.id))
}

// first returns the first n rows in order. It compares most rows with the last of them only.
func first(rows map[int64]*Row, n int) []*Row {
	list := make([]*Row, 0, n+1)
	for _, r := range rows {
		if len(list) == n && (n == 0 || r.before(list[n-1]) > 0) {
			continue
		}
		at, _ := slices.BinarySearchFunc(list, r, (*Row).before)
		list = slices.Insert(list, at, r)
		list = list[:min(len(list), n)]
	}
	return list
}
