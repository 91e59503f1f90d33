package deploytest

import (
	"net"
	"slices"
	"strings"
)

// listeners reads "NAME://host:port,NAME://host:port".
func (d *deployment) listeners(variable string) map[string]string {
	list := map[string]string{}
	for _, item := range strings.Split(d.kafkaEnv(variable), ",") {
		name, address, ok := strings.Cut(item, "://")
		if _, _, err := net.SplitHostPort(address); !ok || err != nil {
			d.problem("kafka: %s: %q is no listener", variable, item)
			continue
		}
		list[name] = address
	}
	return list
}

func (d *deployment) kafkaEnv(variable string) string {
	v := d.project.Services["kafka"].Environment[variable]
	if v == nil {
		d.problem("kafka: %s is not set", variable)
		return ""
	}
	return *v
}

func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return p
}

// checkKafka holds that the listeners, what is advertised and what is published
// belong together.
func (d *deployment) checkKafka() {
	listeners, advertised := d.listeners("KAFKA_LISTENERS"), d.listeners("KAFKA_ADVERTISED_LISTENERS")
	protocols := strings.Split(d.kafkaEnv("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"), ",")
	for name, address := range listeners {
		if !slices.Contains(protocols, name+":PLAINTEXT") {
			d.problem("kafka: listener %s has no protocol in %v", name, protocols)
		}
		if name == d.kafkaEnv("KAFKA_CONTROLLER_LISTENER_NAMES") {
			if voter := d.kafkaEnv("KAFKA_CONTROLLER_QUORUM_VOTERS"); voter != d.kafkaEnv("KAFKA_NODE_ID")+"@kafka:"+port(address) {
				d.problem("kafka: the voter %q is not this node at the controller's listener, %q", voter, address)
			}
			continue
		}
		if _, ok := advertised[name]; !ok {
			d.problem("kafka: listener %s is not advertised", name)
		}
	}
	for _, variable := range []string{"KAFKA_CONTROLLER_LISTENER_NAMES", "KAFKA_INTER_BROKER_LISTENER_NAME"} {
		if _, ok := listeners[d.kafkaEnv(variable)]; !ok {
			d.problem("kafka: %s names no listener", variable)
		}
	}
	for name, address := range advertised {
		host, advertisedPort, err := net.SplitHostPort(address)
		if err != nil || listeners[name] == "" {
			d.problem("kafka: %s is advertised as %q and does not listen", name, address)
			continue
		}
		if host == "kafka" && advertisedPort != port(listeners[name]) {
			d.problem("kafka: %s is advertised at port %s and listens at %s", name, advertisedPort, port(listeners[name]))
		}
		if host == "127.0.0.1" && !d.publishedAs(advertisedPort, port(listeners[name])) {
			d.problem("kafka: %s is advertised as %s, and that port is not published", name, address)
		}
	}
	logs := d.kafkaEnv("KAFKA_LOG_DIRS")
	if !d.inVolume("kafka", logs+"/") {
		d.problem("kafka: KAFKA_LOG_DIRS, %q, is in no volume", logs)
	}
}

// publishedAs reports whether Kafka's port target is published as host.
func (d *deployment) publishedAs(host, target string) bool {
	for _, p := range d.project.Services["kafka"].Ports {
		if p.Published == host && d.published("kafka", target) {
			return true
		}
	}
	return false
}

// checkBroker holds that Kafka advertises an address to the other services.
func (d *deployment) checkBroker(who, address string) {
	for _, advertised := range d.listeners("KAFKA_ADVERTISED_LISTENERS") {
		if address == advertised && strings.HasPrefix(address, "kafka:") {
			return
		}
	}
	d.problem("%s: broker %q is no address that service kafka advertises", who, address)
}
