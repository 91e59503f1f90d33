package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/explain"
	"keytrail/processor/source"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// explainFiles explains an anomaly from files of OTLP/JSON lines. They are read
// twice: only the anomaly's record tells which windows are wanted.
func (a *app) explainFiles(ef *explainFlags, finder *explain.Finder) int {
	t := &texts{a: a}
	defer t.close()
	for _, path := range ef.from {
		if err := t.open(path); err != nil {
			return a.fail(err)
		}
	}
	if err := t.each(t.findIn(finder)); err != nil {
		return a.fail(err)
	}
	defer t.summary()
	found, err := finder.Anomaly()
	if err != nil {
		return a.notFound(finder, err, fmt.Sprintf("%s with %s, %s and %s",
			plain(strings.Join(ef.from, ", ")), number(t.lines, "line"), number(t.anomalies, "anomaly line"), number(t.windows, "window line")))
	}
	series := explain.NewSeries(found, ef.keep(found), false)
	if found.Correlated() {
		return a.explained(ef, found, series, t.bad, nil)
	}
	if err := t.each(t.gatherIn(series)); err != nil {
		return a.fail(err)
	}
	var notes []string
	if !series.Whole() {
		notes = append(notes, "Only windows with anomalies were in the input, so that a gap may be calls or none: keytrail scan --windows all prints every window.")
	}
	return a.explained(ef, found, series, t.bad, notes)
}

// texts are files of lines that can be read again.
type texts struct {
	a     *app
	files []textFile
	// Counts of the first reading.
	lines, anomalies, windows, bad int
}

type textFile struct {
	name string
	f    *os.File
	// undecoded are the lines that the first reading could not decode, so that the
	// second one does not count them again. Only lines with the wanted id are decoded
	// then, so there are few.
	undecoded map[int]bool
}

func (t *texts) close() {
	for _, f := range t.files {
		f.f.Close()
	}
}

// open opens a file; what can not be read twice becomes a temporary file, which has no
// name any more, so that nothing is left behind.
func (t *texts) open(path string) error {
	body := func() (io.ReadCloser, error) { return io.NopCloser(t.a.stdin), nil }
	if path != source.Stdin {
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return fmt.Errorf("cannot read %q: %w", path, err)
		case st.IsDir():
			return fmt.Errorf("cannot read %q: it is a directory; name its files", path)
		case st.Mode().IsRegular():
			f, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("cannot read %q: %w", path, err)
			}
			t.files = append(t.files, textFile{path, f, map[int]bool{}})
			return nil
		}
		body = func() (io.ReadCloser, error) { return os.Open(path) }
	}
	f, err := os.CreateTemp("", "keytrail-explain-")
	if err != nil {
		return fmt.Errorf("cannot keep %q: %w", path, err)
	}
	os.Remove(f.Name())
	t.files = append(t.files, textFile{path, f, map[int]bool{}})
	in, err := interruptible(t.a.ctx, body)()
	if err == nil {
		_, err = io.Copy(f, in)
	}
	if err != nil {
		return fmt.Errorf("cannot keep %q: %w", path, err)
	}
	return nil
}

// maxLine bounds a line: a collector writes batches of a few MiB.
const maxLine = 64 << 20

// errLong says that a line is longer than maxLine.
var errLong = fmt.Errorf("longer than %d bytes", maxLine)

// each calls f with every line of every file; f says what is wrong with the line, which
// is told and counted.
func (t *texts) each(f func(file *textFile, n int, line []byte) error) error {
	for i := range t.files {
		file := &t.files[i]
		if _, err := file.f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("cannot read %q: %w", file.name, err)
		}
		in := bufio.NewReaderSize(file.f, 1<<20)
		var long []byte
		for n := 1; ; n++ {
			line, err := readLine(in, &long)
			if err == io.EOF {
				break
			}
			if err != nil && !errors.Is(err, errLong) {
				return fmt.Errorf("cannot read %q: %w", file.name, err)
			}
			if err := t.a.ctx.Err(); err != nil {
				return err
			}
			if line = bytes.TrimSpace(line); err == nil && len(line) == 0 {
				continue
			}
			if err = f(file, n, lineOr(line, err)); err != nil {
				t.wrong(file, n, err)
			}
		}
	}
	return nil
}

// lineOr returns nil for a line that is too long.
func lineOr(line []byte, err error) []byte {
	if err != nil {
		return nil
	}
	return line
}

// readLine returns the next line, valid until the next call, or errLong for one that
// was passed over, or io.EOF behind the last one. *long is memory for the long ones.
func readLine(in *bufio.Reader, long *[]byte) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err == nil || err == io.EOF && len(line) > 0 {
		return line, nil
	}
	if err != bufio.ErrBufferFull {
		return nil, err
	}
	*long = append((*long)[:0], line...)
	n := len(line)
	for err == bufio.ErrBufferFull {
		line, err = in.ReadSlice('\n')
		if n += len(line); n <= maxLine {
			*long = append(*long, line...)
		}
	}
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case n > maxLine:
		return nil, errLong
	}
	return *long, nil
}

// maxTold bounds the bad lines that are told one by one.
const maxTold = 10

func (t *texts) wrong(file *textFile, n int, err error) {
	if t.bad++; t.bad <= maxTold {
		fmt.Fprintf(t.a.stderr, "%s:%d: %s\n", plain(file.name), n, plain(err.Error()))
	}
}

// summary tells how many lines were bad.
func (t *texts) summary() {
	if t.bad > 0 {
		fmt.Fprintf(t.a.stderr, "%s of %d could not be used\n", number(t.bad, "line"), t.lines)
	}
}

// The event names as every JSON writer writes them.
var (
	anomalyName = []byte(`"` + semconv.EventKeytrailAnomaly + `"`)
	windowName  = []byte(`"` + semconv.EventKeytrailWindow + `"`)
)

var errNoLogs = errors.New(`no OTLP/JSON: want one LogsData object a line, with "resourceLogs"`)

// findIn checks every line, counts them, and decodes those that may be the anomaly.
func (t *texts) findIn(finder *explain.Finder) func(*textFile, int, []byte) error {
	prefix := []byte(finder.Prefix())
	return func(file *textFile, n int, line []byte) error {
		t.lines++
		switch {
		case line == nil:
			return errLong
		case !json.Valid(line) || !bytes.Contains(line, []byte(`"resourceLogs"`)):
			return errNoLogs
		}
		if bytes.Contains(line, windowName) {
			t.windows++
		}
		if !bytes.Contains(line, anomalyName) {
			return nil
		}
		t.anomalies++
		if !bytes.Contains(line, prefix) {
			return nil
		}
		err := decodeJSON(line, finder)
		if err != nil {
			file.undecoded[n] = true
		}
		return err
	}
}

// gatherIn decodes the windows that may be of the series. Of the others it needs to
// know when they start, and whether one has no anomalies.
func (t *texts) gatherIn(s *explain.Series) func(*textFile, int, []byte) error {
	return func(file *textFile, n int, line []byte) error {
		if line == nil || !bytes.Contains(line, windowName) || file.undecoded[n] {
			return nil
		}
		if s.Whole() && !s.Mentions(line) {
			if start, ok := quickStart(line); ok {
				s.Covers(start)
				return nil
			}
		}
		if !json.Valid(line) {
			return nil // told by the first reading
		}
		return decodeJSON(line, s)
	}
}

// quickStart finds the time of a final window without decoding its line. It is false
// where there is more to it.
func quickStart(line []byte) (int64, bool) {
	const name = `"timeUnixNano":"`
	at := bytes.Index(line, []byte(name))
	if at < 0 || bytes.Count(line, []byte(`"timeUnixNano"`)) != 1 || !bytes.Contains(line, []byte(`"final"`)) || bytes.Contains(line, []byte(semconv.KeytrailWindowRollup)) {
		return 0, false
	}
	text, _, ok := bytes.Cut(line[at+len(name):min(at+len(name)+21, len(line))], []byte(`"`))
	start, err := strconv.ParseInt(string(text), 10, 64)
	return start, ok && err == nil
}

// decodeJSON decodes a LogsData object and hands its log records to a taker. It goes
// through OpenTelemetry's own types, which read what any writer of OTLP/JSON may write.
func decodeJSON(line []byte, to taker) error {
	var data logspb.LogsData
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &data); err != nil {
		return fmt.Errorf("no OTLP/JSON: %w", err)
	}
	var bad []error
	for _, resource := range data.ResourceLogs {
		for _, scope := range resource.GetScopeLogs() {
			for _, one := range scope.GetLogRecords() {
				wire, err := proto.Marshal(&logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{
					Resource: resource.GetResource(), ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{one}}}}}})
				var rec otellog.Record // LogsData and ExportLogsServiceRequest are the same on the wire
				if err == nil {
					err = rec.Decode(wire)
				}
				if err == nil {
					err = to.Add(&rec)
				}
				bad = append(bad, err)
			}
		}
	}
	return errors.Join(bad...)
}
