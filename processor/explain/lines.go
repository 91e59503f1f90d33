package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// Taker takes records of any kind: a Finder, a List or a Series. An error is about the
// record.
type Taker interface {
	Add(rec *otellog.Record) error
}

// Lines are files of OTLP/JSON lines from "keytrail scan" or file sinks. They are read
// twice, because only the anomaly's record shows which windows are wanted. Lines is not
// safe for concurrent use.
type Lines struct {
	stopped func() error
	tell    func(bad string)
	files   []*lineFile

	// Counts of the first reading, and the unusable lines of both.
	All, Anomalies, Windows, Bad int
}

type lineFile struct {
	name string
	in   io.ReadSeeker
	// undecoded are the lines that the first reading could not decode, so that the second
	// one does not count them again. It decodes only lines with the wanted id, so they
	// are few.
	undecoded map[int]bool
}

// NewLines returns Lines without files. Reading ends when stopped returns an error; tell
// takes the first few unusable lines, as FILE:LINE: FAULT.
func NewLines(stopped func() error, tell func(bad string)) *Lines {
	return &Lines{stopped: stopped, tell: tell}
}

// AddFile adds a file.
func (l *Lines) AddFile(name string, in io.ReadSeeker) {
	l.files = append(l.files, &lineFile{name, in, map[int]bool{}})
}

// maxLine bounds a line: a collector writes batches of a few MiB.
const maxLine = 64 << 20

// errLong means that a line is longer than maxLine.
var errLong = fmt.Errorf("longer than %d bytes", maxLine)

// each calls f with every line of every file, nil for one that is too long. It reports
// and counts the lines for which f returns an error.
func (l *Lines) each(f func(file *lineFile, n int, line []byte) error) error {
	for _, file := range l.files {
		if _, err := file.in.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("cannot read %q: %w", file.name, err)
		}
		in := bufio.NewReaderSize(file.in, 1<<20)
		var long []byte
		for n := 1; ; n++ {
			line, err := readLine(in, &long)
			if err == io.EOF {
				break
			}
			if err != nil && !errors.Is(err, errLong) {
				return fmt.Errorf("cannot read %q: %w", file.name, err)
			}
			if err := l.stopped(); err != nil {
				return err
			}
			if line = bytes.TrimSpace(line); err == nil && len(line) == 0 {
				continue
			}
			if err := f(file, n, line); err != nil {
				l.wrong(file, n, err)
			}
		}
	}
	return nil
}

// readLine returns the next line, valid until the next call, or errLong for a skipped
// one, or io.EOF after the last one. *long is memory for long ones.
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

// maxTold bounds the bad lines that are reported individually.
const maxTold = 10

func (l *Lines) wrong(file *lineFile, n int, err error) {
	if l.Bad++; l.Bad <= maxTold {
		l.tell(fmt.Sprintf("%s:%d: %s", printable.Text(file.name), n, printable.Text(err.Error())))
	}
}

// The event names as every JSON writer writes them.
var (
	anomalyName  = []byte(`"` + semconv.EventKeytrailAnomaly + `"`)
	incidentName = []byte(`"` + semconv.EventKeytrailIncident + `"`)
	windowName   = []byte(`"` + semconv.EventKeytrailWindow + `"`)
)

var errNoLogs = errors.New(`no OTLP/JSON: want one LogsData object a line, with "resourceLogs"`)

// Find checks and counts every line, and passes the records of possible anomalies and incidents
// with an id that begins with prefix to a Finder or a List.
func (l *Lines) Find(prefix string, to Taker) error {
	return l.each(func(file *lineFile, n int, line []byte) error {
		l.All++
		switch {
		case line == nil:
			return errLong
		case !json.Valid(line) || !bytes.Contains(line, []byte(`"resourceLogs"`)):
			return errNoLogs
		}
		if bytes.Contains(line, windowName) {
			l.Windows++
		}
		found := bytes.Contains(line, anomalyName)
		if found {
			l.Anomalies++
		} else if !bytes.Contains(line, incidentName) {
			return nil
		}
		if !bytes.Contains(line, []byte(prefix)) {
			return nil
		}
		err := decodeJSON(line, to)
		if err != nil {
			file.undecoded[n] = true
		}
		return err
	})
}

// Gather passes the possible windows of a Series to it. Of the others the Series needs
// only their starts, and whether one has no anomalies.
func (l *Lines) Gather(s *Series) error {
	return l.each(func(file *lineFile, n int, line []byte) error {
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
			return nil // reported by the first reading
		}
		return decodeJSON(line, s)
	})
}

// quickStart finds the time of a final window without decoding its line. It returns false
// if the line is more complicated.
func quickStart(line []byte) (int64, bool) {
	const name = `"timeUnixNano":"`
	at := bytes.Index(line, []byte(name))
	if at < 0 || bytes.Count(line, []byte(`"timeUnixNano"`)) != 1 || !bytes.Contains(line, []byte(`"final"`)) ||
		bytes.Contains(line, []byte(semconv.KeytrailWindowRollup)) {
		return 0, false
	}
	text, _, ok := bytes.Cut(line[at+len(name):min(at+len(name)+21, len(line))], []byte(`"`))
	start, err := strconv.ParseInt(string(text), 10, 64)
	return start, ok && err == nil
}

// decodeJSON decodes a LogsData object and passes its log records to a Taker. It uses
// OpenTelemetry's own types, which read any writer's OTLP/JSON.
func decodeJSON(line []byte, to Taker) error {
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
