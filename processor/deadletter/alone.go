package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// seat is how long Kafka keeps a replay that was killed as a member of the group of all
// replays: 10 s. The least that brokers allow by default is 6 s.
const seat = 10 * time.Second

// alone joins the consumer group that every replay of the installation joins, and returns a
// function that leaves it. If the group has another member, it returns an error: two replays
// would deliver the same letters. Of two replays that join at once both may end.
func (r *Replay) alone(ctx context.Context) (leave func(), err error) {
	client, err := kgo.NewClient(append(r.Kafka.Options(), kgo.ConsumerGroup(r.TransactionalID),
		kgo.SessionTimeout(seat), kgo.HeartbeatInterval(seat/4), kgo.ConsumeTopics(r.Topic), kgo.DisableAutoCommit())...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	client.PauseFetchTopics(r.Topic)
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		others, joined, err := members(within, client, r.TransactionalID)
		switch {
		case err == nil && !joined && pause(within, 50*time.Millisecond):
			continue
		case err == nil && !joined:
			err = fmt.Errorf("no answer within %v", patience)
		case err == nil && others == "":
			return client.Close, nil
		}
		client.Close()
		if err != nil {
			return nil, fmt.Errorf("cannot find out whether another replay runs (consumer group %q): %w", r.TransactionalID, err)
		}
		return nil, fmt.Errorf("another replay runs at %s (consumer group %q); wait for its end, or for %v if it was killed",
			others, r.TransactionalID, seat)
	}
}

// members reports whether the client is a member of the group, and where the others are.
func members(ctx context.Context, client *kgo.Client, group string) (others string, joined bool, err error) {
	own, _ := client.GroupMetadata()
	found, err := kadm.NewClient(client).DescribeGroups(ctx, group)
	if err == nil {
		err = found.Error()
	}
	// The group is just being made, or its coordinator moves to another broker.
	if kafka.Outage(err) || errors.Is(err, kerr.GroupIDNotFound) {
		return "", false, nil
	}
	if err != nil || own == "" || found[group].State != "Stable" {
		return "", false, err
	}
	for _, m := range found[group].Members {
		if m.MemberID == own {
			joined = true
		} else {
			others = m.ClientHost
		}
	}
	return others, joined, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
