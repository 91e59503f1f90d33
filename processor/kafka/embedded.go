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

// Embedded is a broker inside this process: franz-go's kfake. It speaks Kafka's
// protocol on a free port of the loopback interface, transactions and consumer
// groups included.
//
// It is for the demo, for trying things and for tests. It is not crash-safe: a
// process killed in the middle of a transaction may leave it half visible. The
// promises about exactly-once counting hold on a real Kafka.
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
	// Without a directory kfake keeps all records in memory, about 3 kB each; with
	// one it needs some 50 MB whatever there is.
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(e.dir))
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("cannot start the embedded broker in %s: %w", e.dir, err)
	}
	e.cluster = cluster
	cluster.ControlKey(int16(kmsg.Fetch), unbound)
	log.Warn("the embedded broker is running: it is for trying things, not crash-safe", "address", cluster.ListenAddrs(), "dir", e.dir)
	return e, nil
}

// unbound takes the bound of all partitions together from a request for records, of
// which those of each partition remain. Where that bound ends a response in the middle
// of a partition kfake leaves out which of its transactions were aborted, and their
// records are read as if they were committed: seen as windows that were lost. So a
// response may hold as much as the bound of a partition for each of them.
func unbound(r kmsg.Request) (kmsg.Response, error, bool) {
	r.(*kmsg.FetchRequest).MaxBytes = math.MaxInt32
	return nil, nil, false
}

// claim locks the directory: two brokers over the same files would destroy
// them, and kfake does not check.
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
