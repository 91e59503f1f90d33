package telemetry

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// LedgerAlarm is one open alarm of the ledger of a KMS key.
type LedgerAlarm struct {
	Kind, Account, Region string
	At                    int64 // its date, in s since 1970
}

// LedgerAlarms shows the open alarms of the ledgers that a process keeps. It is safe for
// concurrent use; a nil one shows nothing.
type LedgerAlarms struct {
	kinds []string
	mu    sync.Mutex // guards the following
	count map[string]int64
	dates map[place]map[string]int64 // of the listed places alone, the earliest by kind
}

// LedgerAlarms adds the alarms to the metrics: their number by kind, and for the accounts
// and Regions of list, as in Config.Coverage, the earliest date by kind.
func (t *Telemetry) LedgerAlarms(list, kinds []string) (*LedgerAlarms, error) {
	l := &LedgerAlarms{kinds: kinds, count: map[string]int64{}, dates: map[place]map[string]int64{}}
	for _, text := range list {
		l.dates[placeOf(text)] = map[string]int64{}
	}
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, kind := range kinds {
			o.ObserveInt64(t.levels.alarms, l.count[kind], metric.WithAttributes(attribute.String("kind", kind)))
		}
		for at, dates := range l.dates {
			for kind, date := range dates {
				o.ObserveFloat64(t.levels.alarm, float64(date), metric.WithAttributes(attribute.String("account", at.account),
					attribute.String("region", at.region), attribute.String("kind", kind)))
			}
		}
		return nil
	}, t.levels.alarms, t.levels.alarm)
	return l, err
}

// Set replaces the alarms by those of list.
func (l *LedgerAlarms) Set(list []LedgerAlarm) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.count)
	for _, dates := range l.dates {
		clear(dates)
	}
	for _, a := range list {
		l.count[a.Kind]++
		dates := l.dates[place{a.Account, a.Region}]
		if was, ok := dates[a.Kind]; dates != nil && (!ok || a.At < was) {
			dates[a.Kind] = a.At
		}
	}
}
