package generate

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LabelsFile is the name of WriteFiles's file of labels: one Label per line, as JSON,
// ordered by start.
const LabelsFile = "labels.ndjson"

// file collects the records of one CloudTrail file: one account, region and time.
type file struct {
	account, region string
	stamp           int64 // Unix seconds
	records         [][]byte
	labels          []Label // those of a Live whose first call is in it
}

// WriteFiles writes the trail into dir as CloudTrail delivers it,
//
//	AWSLogs/<account>/CloudTrail/<region>/yyyy/mm/dd/
//	<account>_CloudTrail_<region>_yyyymmddThhmmZ_<16 characters>.json.gz
//
// each file {"Records":[...]} with its records out of order, and the labels into
// dir/labels.ndjson. It makes dir if missing, and refuses a folder with a trail in it.
// After each file it calls progress (if not nil) with the number of records so far. It
// returns the number of trail files; after an error the files written so far remain.
func (g *Generator) WriteFiles(dir string, progress func(n int)) (files int, err error) {
	if err := prepare(dir); err != nil {
		return 0, err
	}
	writer, err := newFileWriter(g, dir)
	if err != nil {
		return 0, err
	}
	records := 0
	flush := func(before int64) error {
		for _, f := range writer.take(before) {
			if err := writer.write(f); err != nil {
				return err
			}
			files++
			records += len(f.records)
			if progress != nil {
				progress(records)
			}
		}
		return nil
	}
	var flushed int64
	for event := range g.Events() {
		// No later event belongs into a file delivered at or before this one's event
		// time: delivery takes at least two minutes.
		if now := event.Time.Unix(); now >= flushed+60 {
			flushed = now
			if err := flush(now + 1); err != nil {
				return files, err
			}
		}
		writer.add(event)
	}
	const forever = 1 << 62
	if err := flush(forever); err != nil {
		return files, err
	}
	return files, g.writeLabels(dir)
}

// prepare makes dir and refuses one with a trail in it: two trails in one folder would be
// one trail with wrong labels.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make folder %q for the trail: %w", dir, err)
	}
	for _, name := range []string{"AWSLogs", LabelsFile} {
		_, err := os.Lstat(filepath.Join(dir, name))
		if err == nil {
			return fmt.Errorf("cannot write a trail into %q: it already holds %s; name an empty folder", dir, name)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot write a trail into %q: %w", dir, err)
		}
	}
	return nil
}

// writeLabels writes the file of labels.
func (g *Generator) writeLabels(dir string) error {
	text, err := encodeLabels(g.labels)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, LabelsFile)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}

// encodeLabels returns labels as JSON, one a line.
func encodeLabels(labels []Label) ([]byte, error) {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, l := range labels {
		if err := lines.Encode(l); err != nil {
			return nil, fmt.Errorf("cannot encode the labels: %w", err)
		}
	}
	return text.Bytes(), nil
}

// fileWriter collects records into files and writes them. Time bounds the waiting
// records: see the package comment.
type fileWriter struct {
	g       *Generator
	dir     string
	open    map[string]*file
	folders map[string]bool // the existing ones, one per account, region and day
	zip     *gzip.Writer
	out     bytes.Buffer
}

func newFileWriter(g *Generator, dir string) (*fileWriter, error) {
	// CloudTrail compresses its files better; here time matters more.
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("cannot pack files: %w", err)
	}
	return &fileWriter{g: g, dir: dir, open: map[string]*file{}, folders: map[string]bool{}, zip: zip}, nil
}

// add puts a record into its file, which it returns.
func (w *fileWriter) add(event Event) *file {
	name := event.Account + event.Region + event.Delivered.Format(time.RFC3339)
	f := w.open[name]
	if f == nil {
		f = &file{account: event.Account, region: event.Region, stamp: event.Delivered.Unix()}
		w.open[name] = f
	}
	f.records = append(f.records, event.JSON)
	return f
}

// earliest returns the Unix second of the first waiting file, if there is one.
func (w *fileWriter) earliest() (stamp int64, found bool) {
	for _, f := range w.open {
		if !found || f.stamp < stamp {
			stamp, found = f.stamp, true
		}
	}
	return stamp, found
}

// take removes and returns the files delivered before a Unix second, in order.
func (w *fileWriter) take(before int64) []*file {
	var names []string
	for name, f := range w.open {
		if f.stamp < before {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var ready []*file
	for _, name := range names {
		ready = append(ready, w.open[name])
		delete(w.open, name)
	}
	return ready
}

// write shuffles, packs and writes one file, which is whole as soon as it has its name.
func (w *fileWriter) write(f *file) error {
	stamp := time.Unix(f.stamp, 0).UTC()
	base := f.account + "_CloudTrail_" + f.region + "_" + stamp.Format("20060102T1504Z") + "_"
	sum := fnv.New64a()
	sum.Write([]byte(base)) // never fails
	r := newRandom(w.g.config.Seed, streamFiles+sum.Sum64()>>16)
	base += strings.ToLower(string(appendBase32(nil, r.Uint64(), 8))) +
		string(appendBase32(nil, r.Uint64(), 8)) + ".json.gz"
	r.Shuffle(len(f.records), func(i, j int) { f.records[i], f.records[j] = f.records[j], f.records[i] })

	w.out.Reset()
	w.zip.Reset(&w.out)
	separator := `{"Records":[`
	for _, record := range f.records {
		// A write into a bytes.Buffer never fails; Close returns gzip's error.
		w.zip.Write([]byte(separator))
		w.zip.Write(record)
		separator = ","
	}
	w.zip.Write([]byte("]}"))
	if err := w.zip.Close(); err != nil {
		return fmt.Errorf("cannot pack %q: %w", base, err)
	}
	folder := filepath.Join(w.dir, "AWSLogs", f.account, "CloudTrail", f.region, stamp.Format("2006"),
		stamp.Format("01"), stamp.Format("02"))
	if !w.folders[folder] {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("cannot make folder %q for the trail: %w", folder, err)
		}
		w.folders[folder] = true
	}
	if err := replaceFile(filepath.Join(folder, base), w.out.Bytes()); err != nil {
		return fmt.Errorf("cannot write a trail file: %w", err)
	}
	return nil
}

// replaceFile writes a file that readers see as a whole or not at all. Its temporary name
// begins with a dot, so that readers of trails pass it over.
func replaceFile(path string, content []byte) error {
	temporary := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
