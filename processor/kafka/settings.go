package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// check compares existing topics with Keytrail's needs. A setting that cannot work, or
// would give wrong counts, is a final error; a risky one is logged, one line per setting,
// with the command that changes it.
func (s *starter) check(ctx context.Context, l layout) error {
	var names []string
	for _, t := range s.topics {
		if !s.made[t.Name] {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	settings, err := s.settings(ctx, names)
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		s.warn("the settings of topics that exist cannot be checked: the brokers do not allow DescribeConfigs",
			"topics", strings.Join(names, ","))
		return nil
	}
	if err != nil {
		return s.explain("cannot read the settings of topics", err)
	}
	var fatal []string
	for _, t := range s.topics {
		if s.made[t.Name] {
			continue
		}
		list := append(t.differences(settings[t.Name], l.topics[t.Name], len(l.brokers)), t.outlived(settings)...)
		for _, d := range list {
			if d.fatal {
				fatal = append(fatal, s.sentence(t.Name, d))
			} else {
				s.warn(s.sentence(t.Name, d))
			}
		}
	}
	if len(fatal) > 0 {
		return &final{errors.New(strings.Join(fatal, "; "))}
	}
	return nil
}

func (s *starter) warn(text string, args ...any) {
	if s.c.Log != nil {
		s.c.Log.Warn(text, args...)
	}
}

// settings returns the effective settings of topics, including the brokers' defaults.
func (s *starter) settings(ctx context.Context, names []string) (map[string]map[string]string, error) {
	configs, err := s.adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]string{}
	for _, r := range configs {
		if r.Err != nil {
			return nil, r.Err
		}
		found[r.Name] = map[string]string{}
		for _, one := range r.Configs {
			if one.Value != nil {
				found[r.Name][one.Key] = *one.Value
			}
		}
	}
	return found, nil
}

// difference is one topic setting that differs from what Keytrail needs.
type difference struct {
	setting, has, want string
	why                string
	fatal              bool
	how                string // the command or setting that changes it; "" for kafka-configs.sh
	advice             string // what to do if changing it is not enough; or ""
}

// sentence states the topic's value, why it matters, and the command that changes it or
// other advice.
func (s *starter) sentence(topic string, d difference) string {
	command := d.how
	if d.advice != "" {
		return fmt.Sprintf("topic %q has %s %s, want %s: %s; %s", topic, d.setting, d.has, d.want, d.why, d.advice)
	}
	if command == "" {
		command = fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s "+
			"--add-config %s=%s",
			s.c.Brokers[0], topic, d.setting, d.want)
	}
	return fmt.Sprintf("topic %q has %s %s, want %s: %s; change it with: %s", topic, d.setting, d.has, d.want, d.why,
		command)
}

// leastBatch is the smallest max.message.bytes that accepts the stages' batches.
const leastBatch = usualBatchBytes

// differences returns the differences of an existing topic, worst first.
func (t *Topic) differences(has map[string]string, info topicInfo, brokers int) []difference {
	var list []difference
	add := func(fatal bool, setting, want, why string) {
		list = append(list, difference{setting: setting, has: has[setting], want: want, why: why, fatal: fatal})
	}
	wanted := func(setting, otherwise string) string {
		if v := t.Configs[setting]; v != nil {
			return *v
		}
		return otherwise
	}
	number := func(setting string) (int64, bool) {
		n, err := strconv.ParseInt(has[setting], 10, 64)
		return n, err == nil
	}
	policy := wanted("cleanup.policy", "delete")
	if got := policies(has["cleanup.policy"]); got != "" && got != policy && !t.AnyPolicy {
		why := "records without a key, or of the same key, would be refused or disappear"
		if policy == "compact" {
			why = "state that is still needed would be deleted by its age, and calls counted twice or not at all"
		}
		add(true, "cleanup.policy", policy, why)
		if strings.Contains(got, "delete") {
			list[0].advice = t.DeletedAdvice
		}
	}
	least, _ := strconv.ParseInt(wanted("max.message.bytes", strconv.Itoa(leastBatch)), 10, 64)
	if got, ok := number("max.message.bytes"); ok && got < least {
		add(true, "max.message.bytes", strconv.FormatInt(least, 10), "the brokers would refuse what the stages write")
	}
	if got, ok := number("min.insync.replicas"); ok && int(got) > info.replicas {
		add(true, "min.insync.replicas", strconv.Itoa(max(1, info.replicas-1)),
			fmt.Sprintf("no partition has more than %d replicas, so every write would be refused", info.replicas))
	} else if ok && got < 2 && info.replicas >= 3 {
		add(false, "min.insync.replicas", "2", "records that only one broker has are lost with it")
	}
	if has["unclean.leader.election.enable"] == "true" {
		add(false, "unclean.leader.election.enable", "false",
			"a broker that missed records may become the leader and truncate them")
	}
	if got, ok := number("retention.ms"); ok && got >= 0 && strings.Contains(has["cleanup.policy"], "delete") &&
		policy == "delete" {
		if want, _ := strconv.ParseInt(wanted("retention.ms", "0"), 10, 64); want < 0 || got < want {
			add(false, "retention.ms", strconv.FormatInt(want, 10), fmt.Sprintf("records that are not read within %v are lost",
				time.Duration(got)*time.Millisecond))
		}
	}
	if got, ok := number("retention.bytes"); ok && got >= 0 && policy == "delete" {
		add(false, "retention.bytes", "-1", "records that are not read before a partition has grown to that size are lost")
	}
	stamps := wanted("message.timestamp.type", "CreateTime")
	if got := has["message.timestamp.type"]; got != "" && got != stamps {
		why := "records would have the time at which the broker received them"
		if stamps == "LogAppendTime" {
			why = "after an outage, a producer with a wrong clock would determine how long events may arrive out of order"
		}
		add(false, "message.timestamp.type", stamps, why)
	}
	return append(list, t.layoutDifferences(info, brokers)...)
}

// layoutDifferences returns the differences of a topic's replicas and partitions.
func (t *Topic) layoutDifferences(info topicInfo, brokers int) (list []difference) {
	if info.replicas == 1 && brokers >= 3 {
		list = append(list, difference{setting: "replication factor", has: "1", want: "3",
			why: "losing one broker loses it", how: "kafka-reassign-partitions.sh"})
	}
	if t.Partitions > 1 && info.partitions != t.Partitions {
		list = append(list, difference{setting: "partitions", has: fmt.Sprint(info.partitions),
			want: fmt.Sprint(t.Partitions),
			why:  "kafka.partitions applies only to topics that Keytrail creates", how: "kafka.partitions in the configuration"})
	}
	return list
}

// outlived returns the difference of a topic with a shorter retention than another topic
// that it must outlive.
func (t *Topic) outlived(settings map[string]map[string]string) []difference {
	kept := func(name string) int64 {
		ms, err := strconv.ParseInt(settings[name]["retention.ms"], 10, 64)
		if err != nil || ms < 0 {
			return math.MaxInt64 // forever or unknown
		}
		return ms
	}
	own, other := kept(t.Name), kept(t.Outlives)
	if t.Outlives == "" || settings[t.Outlives] == nil || own >= other {
		return nil
	}
	want := settings[t.Outlives]["retention.ms"]
	return []difference{{setting: "retention.ms", has: settings[t.Name]["retention.ms"], want: want,
		why: fmt.Sprintf("topic %q is kept longer, and the records made from it would be lost before it", t.Outlives)}}
}

// policies returns a cleanup policy with its parts sorted.
func policies(text string) string {
	set := map[string]bool{}
	for _, one := range strings.Split(text, ",") {
		set[strings.TrimSpace(one)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), ",")
}
