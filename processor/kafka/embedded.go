package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Embedded is a broker inside this process: franz-go's kfake. It speaks Kafka's protocol,
// with transactions and consumer groups, on a free port of the loopback interface.
//
// It serves the demo, experiments and tests. It is not crash-safe: if the process is
// killed within a transaction, half of it may be visible. Only a real Kafka gives
// exactly-once counts.
type Embedded struct {
	cluster *kfake.Cluster
	lock    *os.File
	dir     string
	own     bool // dir is temporary
}

// StartEmbedded starts a broker that keeps its data in dir, or in a temporary
// directory when dir is "". It fails when another process uses dir.
func StartEmbedded(dir string, log *slog.Logger) (*Embedded, error) {
	e := &Embedded{dir: dir}
	if dir == "" {
		tmp, err := os.MkdirTemp("", "keytrail-broker-")
		if err != nil {
			return nil, fmt.Errorf("cannot create the embedded broker's directory: %w", err)
		}
		e.dir, e.own = tmp, true
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the embedded broker's directory: %w", err)
	}
	if err := e.claim(); err != nil {
		return nil, err
	}
	// Without a directory kfake keeps all records in memory, about 3 kB each; with one it
	// needs a constant 50 MB.
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(e.dir))
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("cannot start the embedded broker in %s: %w", e.dir, err)
	}
	e.cluster = cluster
	cluster.ControlKey(int16(kmsg.Fetch), unbound)
	log.Warn("the embedded broker is running: it is for trials, not crash-safe",
		"address", cluster.ListenAddrs(), "dir", e.dir)
	return e, nil
}

// unbound raises a fetch request's total limit to that of all its partitions together;
// the limit per partition remains. If the total limit ends a response within a partition,
// kfake omits some aborted transactions from it, and the client reads their records as
// committed. We have lost windows that way.
func unbound(r kmsg.Request) (kmsg.Response, error, bool) {
	r.(*kmsg.FetchRequest).MaxBytes = math.MaxInt32
	return nil, nil, false
}

// claim locks the directory: two brokers on the same files would destroy them, and kfake
// does not check.
func (e *Embedded) claim() error {
	f, err := os.OpenFile(e.dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the embedded broker's directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("the embedded broker's directory %s is in use by another process", e.dir)
		}
		return fmt.Errorf("cannot lock the embedded broker's directory: %w", err)
	}
	e.lock = f
	return nil
}

// Brokers returns the broker's address.
func (e *Embedded) Brokers() []string { return e.cluster.ListenAddrs() }

// Close stops the broker and removes its directory if it was temporary.
func (e *Embedded) Close() {
	if e.cluster != nil {
		e.cluster.Close()
	}
	if e.lock != nil {
		os.Remove(e.lock.Name())
		e.lock.Close()
	}
	if e.own {
		os.RemoveAll(e.dir)
	}
}
