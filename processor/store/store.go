// Package store keeps the history that the page shows: windows, anomalies and an index of
// events, in one SQLite file. It is a cache: everything in it comes from the topics or from
// the files of a scan, and a file that is deleted, or that another version wrote, is filled
// again. Positions in the topics are stored in the same transaction as the records before
// them, so a record counts once whatever crashes.
//
// Events are not copied. The index has some 25 bytes per event, and the place from which
// the caller reads the event again.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Limits bound a store.
type Limits struct {
	Retention time.Duration // of windows, anomalies and events by their own time; at least a minute
	Bytes     int64         // of the file; at least 1 MiB
}

// DefaultLimits are 35 days and 2 GB.
func DefaultLimits() Limits { return Limits{Retention: 35 * 24 * time.Hour, Bytes: 2 << 30} }

// Store is one file of history. It is safe for concurrent use; one process at a time may
// open a file.
type Store struct {
	path   string
	limits Limits
	read   *sql.DB
	write  *sql.DB // one connection

	mu      sync.Mutex // guards the following, and serializes transactions
	pending batch
	names   map[string]int64 // ids of the names used last
	known   map[entity]int64 // ids of the entities used last
	commits int64
	changed chan struct{} // closed at the next commit that changes something
}

// version is raised when the schema changes; a file of another version is filled again.
const version = 2

// schema creates the tables. Times are seconds since 1970, those of events milliseconds.
// Entities and names have numbers of this file only.
const schema = `
CREATE TABLE offsets(topic TEXT, partition INT, next INT, PRIMARY KEY(topic, partition)) WITHOUT ROWID;
CREATE TABLE names(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE entities(id INTEGER PRIMARY KEY, scope TEXT, key INT, principal INT, UNIQUE(scope, key, principal));
CREATE INDEX entities_key ON entities(key, scope);
CREATE INDEX entities_principal ON entities(principal, scope);
CREATE TABLE anomalies(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, entity INT, key INT, principal INT, start INT,
	revision INT, made INT, kind TEXT, severity INT, score REAL, rule INT, state TEXT, record BLOB);
CREATE INDEX anomalies_start ON anomalies(start, severity, kind);
CREATE INDEX anomalies_key ON anomalies(key, start);
CREATE INDEX anomalies_principal ON anomalies(principal, start);
CREATE TABLE marks(start INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE windows(entity INT, size INT, start INT, revision INT, final INT, calls INT, denied INT, failed INT,
	anomalies INT, counters BLOB, PRIMARY KEY(entity, size, start)) WITHOUT ROWID;
CREATE INDEX windows_start ON windows(start);
CREATE TABLE ticks(size INT, start INT, calls INT, PRIMARY KEY(size, start)) WITHOUT ROWID;
CREATE TABLE events(n INTEGER PRIMARY KEY, first INT, last INT, count INT, data BLOB);
CREATE INDEX events_last ON events(last, first, count);
`

// Open opens the store at path, or creates it.
func Open(path string, limits Limits) (*Store, error) {
	if limits.Retention < time.Minute || limits.Bytes < 1<<20 {
		return nil, fmt.Errorf("cannot keep the page's history for %v in %d bytes: the least is a minute and 1 MiB",
			limits.Retention, limits.Bytes)
	}
	s := &Store{path: path, limits: limits, names: map[string]int64{}, known: map[entity]int64{},
		changed: make(chan struct{})}
	s.pending.reset()
	have, err := s.connect()
	if err == nil && have != version {
		if have != 0 { // another version's: the topics have everything
			if err = s.remove(); err == nil {
				_, err = s.connect()
			}
		}
		if err == nil {
			_, err = s.write.Exec(schema + fmt.Sprintf("PRAGMA user_version=%d;", version))
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("cannot open the page's history %q: %w; delete the file, and Keytrail fills it again", path,
			err)
	}
	return s, nil
}

// connect opens the file and returns the version that wrote it; 0 for a new one.
func (s *Store) connect() (have int, err error) {
	at := "file:" + s.path + "?_pragma=busy_timeout(10000)&_pragma=auto_vacuum(2)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)&_pragma=temp_store(2)"
	if s.write, err = sql.Open("sqlite", at+"&_pragma=cache_size(-16000)&_txlock=immediate"); err != nil {
		return 0, err
	}
	s.write.SetMaxOpenConns(1)
	if err = s.write.QueryRow("PRAGMA user_version").Scan(&have); err != nil {
		return 0, err
	}
	if err = os.Chmod(s.path, 0o600); err != nil { // trails hold names of people
		return 0, err
	}
	if s.read, err = sql.Open("sqlite", at+"&_pragma=cache_size(-8000)&_pragma=query_only(1)"); err != nil {
		return 0, err
	}
	s.read.SetMaxOpenConns(4)
	return have, nil
}

// remove deletes the file.
func (s *Store) remove() error {
	s.close()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(s.path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *Store) close() (err error) {
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return err
}

// Close closes the file. Records that were not committed are lost: their positions are not
// stored either.
func (s *Store) Close() error { return s.close() }

// Changed returns the number of commits so far, and a channel that is closed at the next one.
func (s *Store) Changed() (commits int64, next <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits, s.changed
}

// Offsets returns the next offset to read per partition of a topic.
func (s *Store) Offsets(ctx context.Context, topic string) (map[int32]int64, error) {
	rows, err := s.read.QueryContext(ctx, sqlOffsets, topic)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int32]int64{}
	for rows.Next() {
		var p int32
		var next int64
		if err := rows.Scan(&p, &next); err != nil {
			return nil, err
		}
		found[p] = next
	}
	return found, rows.Err()
}
