package deploytest

import (
	"maps"
	"slices"
)

// collector is the part of the collector's configuration that
// deploy/otelcol.yaml uses. Components that are not here are not in it.
type collector struct {
	Receivers struct {
		OTLP struct {
			Protocols struct {
				HTTP struct {
					Endpoint string `yaml:"endpoint"`
				} `yaml:"http"`
			} `yaml:"protocols"`
		} `yaml:"otlp"`
	} `yaml:"receivers"`
	Exporters struct {
		Debug struct {
			Verbosity string `yaml:"verbosity"`
		} `yaml:"debug"`
		File struct {
			Path     string `yaml:"path"`
			Rotation struct {
				MaxMegabytes int `yaml:"max_megabytes"`
				MaxBackups   int `yaml:"max_backups"`
			} `yaml:"rotation"`
		} `yaml:"file"`
	} `yaml:"exporters"`
	Service struct {
		Telemetry struct {
			Metrics struct {
				Level string `yaml:"level"`
			} `yaml:"metrics"`
		} `yaml:"telemetry"`
		Pipelines map[string]pipeline `yaml:"pipelines"`
	} `yaml:"service"`
}

type pipeline struct {
	Receivers []string `yaml:"receivers"`
	Exporters []string `yaml:"exporters"`
}

// checkCollector holds that deploy/otelcol.yaml is consistent in itself and with
// docker-compose.yml.
func (d *deployment) checkCollector() {
	d.configMount("collector", "otelcol.yaml")
	text := d.read("deploy/otelcol.yaml")
	if err := strict(text, &d.collector); err != nil {
		d.problem("otelcol.yaml: %v", err)
		return
	}
	var components struct {
		Receivers, Exporters map[string]any
		Service              any
	}
	if err := strict(text, &components); err != nil {
		d.problem("otelcol.yaml: %v", err)
		return
	}
	used := pipeline{}
	for name, p := range d.collector.Service.Pipelines {
		if name != "logs" {
			d.problem("otelcol.yaml: pipeline %q: keytrail sends logs only", name)
		}
		used.Receivers = append(used.Receivers, p.Receivers...)
		used.Exporters = append(used.Exporters, p.Exporters...)
	}
	d.same("receivers", slices.Sorted(maps.Keys(components.Receivers)), used.Receivers)
	d.same("exporters", slices.Sorted(maps.Keys(components.Exporters)), used.Exporters)
	endpoint := d.collector.Receivers.OTLP.Protocols.HTTP.Endpoint
	if p := port(endpoint); p == "" || endpoint != "0.0.0.0:"+p || !d.published("collector", p) {
		d.problem("otelcol.yaml: the endpoint %q cannot be reached", endpoint)
	}
	if v := d.collector.Exporters.Debug.Verbosity; !slices.Contains([]string{"basic", "normal", "detailed"}, v) {
		d.problem("otelcol.yaml: exporter debug has no verbosity %q", v)
	}
	file := d.collector.Exporters.File
	if !d.inVolume("collector", file.Path) {
		d.problem("otelcol.yaml: the file %q is in no volume", file.Path)
	}
	if file.Rotation.MaxMegabytes <= 0 || file.Rotation.MaxBackups <= 0 {
		d.problem("otelcol.yaml: the file %q grows without bound", file.Path)
	}
}

// same holds that the components which are defined are those which are used.
func (d *deployment) same(kind string, defined, used []string) {
	slices.Sort(used)
	if !slices.Equal(defined, slices.Compact(used)) {
		d.problem("otelcol.yaml: %s %v are defined and %v are used", kind, defined, used)
	}
}

// collectorAddress is where the other services reach the collector.
func (d *deployment) collectorAddress() string {
	var c collector
	if err := strict(d.read("deploy/otelcol.yaml"), &c); err != nil {
		return "" // checkCollector says why
	}
	return "collector:" + port(c.Receivers.OTLP.Protocols.HTTP.Endpoint)
}
