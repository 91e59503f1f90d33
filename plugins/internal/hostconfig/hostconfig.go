// Package hostconfig finds properties that Fluent Bit's core takes for itself before a
// plugin can see them, so that a plugin can refuse what its user meant for it.
//
// Fluent Bit starts an output whose section says "host kafka-1" and "tls.ca_file ca.pem"
// silently: the core stores both and only its own outputs use them. A user then believes in
// a broker and an encryption that are not there. The plugin interface shows neither, so this
// package reads the configuration that the process was started with: the file named by -c,
// the files that it includes, and the properties on the command line.
//
// Limits. Fluent Bit checks the configuration itself; what cannot be read here is left
// to it. At most maxFiles files of maxBytes each are read. Sections are known by the
// plugin's name, not by instance: a property in one section refuses all instances of
// the plugin, and all of them hide values that one takes from the environment. A
// configuration made by a program (Fluent Bit as a library), or a file that was replaced
// since the start, is not seen.
//
// Source: Fluent Bit 5.1, the "classic" and the YAML format of its configuration, and
// the options -c, -i, -o and -p of its command line.
package hostconfig

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"keytrail/plugins/internal/property"
	"keytrail/processor/setting"
)

// maxFiles and maxBytes bound what is read: a configuration of hundreds of files of a
// megabyte is a mistake of somebody's.
const (
	maxFiles = 200
	maxBytes = 1 << 20
)

// Kind is the kind of a section.
type Kind string

// The kinds of sections that plugins of Keytrail have.
const (
	Input  Kind = "input"
	Output Kind = "output"
)

// Property is one property of a section, and where it was written.
type Property struct {
	Name  string // in lower case
	Value string // as it is written, with references such as ${KAFKA_PASSWORD}
	Place string // the file, or "the command line"
}

// Refuse refuses each property of the plugin's sections for which instead says what to
// do. Fluent Bit has taken it, so it would have no effect.
func Refuse(r *property.Reader, kind Kind, plugin string, instead func(name string) string) {
	refuse(r, started(kind, plugin).found, instead)
}

func refuse(r *property.Reader, list []Property, instead func(name string) string) {
	for _, p := range list {
		if what := instead(p.Name); what != "" {
			r.Misplaced(p.Name, p.Place, what)
		}
	}
}

// reference is what Fluent Bit replaces by a variable of the environment or of its "env".
var reference = regexp.MustCompile(`\$\{([^{}]+)\}`)

// A value is kept out of texts when it is at least so long: one of a secret or in a URL,
// and any other. Shorter ones would make garbage of all output.
const (
	leastSecret = setting.LeastSecret
	least       = 8
)

// Hide has s show the values that the plugin's sections take from the environment, or from
// the configuration's own variables, as their references, and the secrets that AWS's SDK
// takes from there as well. Fluent Bit has replaced the references before the plugin sees
// a value.
func Hide(s *setting.Scrubber, r *property.Reader, kind Kind, plugin string) {
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"} {
		s.Add(os.Getenv(name), "${"+name+"}")
	}
	hide(s, r.Value, started(kind, plugin))
}

// hide adds what every reference may stand for. A variable whose value is not known here
// is taken from the value of the property, if there is one section of the plugin: of two,
// that value may be the other's.
func hide(s *setting.Scrubber, value func(name string) string, r *reader) {
	for _, p := range r.found {
		least := least
		if strings.Contains(p.Name, "password") || strings.Contains(p.Value, "://") {
			least = leastSecret
		}
		found := reference.FindAllStringSubmatchIndex(p.Value, -1)
		for _, at := range found {
			name := p.Value[at[2]:at[3]]
			texts := r.env[name]
			if text, ok := os.LookupEnv(name); ok {
				texts = append(texts[:len(texts):len(texts)], text)
			}
			before, after, now := p.Value[:at[0]], p.Value[at[1]:], value(p.Name)
			if texts == nil && r.sections == 1 && len(found) == 1 &&
				len(now) >= len(before)+len(after) && strings.HasPrefix(now, before) && strings.HasSuffix(now, after) {
				texts = []string{now[len(before) : len(now)-len(after)]}
			}
			for _, text := range texts {
				if len(text) >= least {
					s.Add(text, p.Value[at[0]:at[1]])
				}
			}
		}
	}
}

// reader collects the properties of the sections of one plugin.
type reader struct {
	kind     Kind
	plugin   string
	found    []Property
	sections int                 // of the plugin
	env      map[string][]string // the values of variables that the files set, by name
	files    map[string]bool     // read so far, by path
}

// started reads the configuration with which this process was started. It finds nothing
// where that is not known.
func started(kind Kind, plugin string) *reader {
	line, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		return &reader{}
	}
	return read(kind, plugin, strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"))
}

func read(kind Kind, plugin string, args []string) *reader {
	r := &reader{kind: kind, plugin: plugin, env: map[string][]string{}, files: map[string]bool{}}
	for _, path := range r.commandLine(args) {
		r.file(path)
	}
	return r
}

// commandLine takes the properties of a command line, and returns the files that it
// names: fluent-bit -c FILE -i in_kms -p path=/var/trail -o out_kms -p brokers=b:9092.
func (r *reader) commandLine(args []string) (files []string) {
	ours := false
	for i := 1; i < len(args); i++ {
		option, value := args[i], ""
		if name, v, ok := strings.Cut(option, "="); ok && strings.HasPrefix(option, "--") {
			option, value = name, v
		} else if i+1 < len(args) {
			value = args[i+1]
		}
		switch option {
		case "-c", "--config":
			files = append(files, value)
		case "-i", "--input":
			ours = r.begin(r.kind == Input && strings.EqualFold(value, r.plugin))
		case "-o", "--output":
			ours = r.begin(r.kind == Output && strings.EqualFold(value, r.plugin))
		case "-F", "--filter", "-C", "--custom":
			ours = false
		case "-p", "--prop":
			if name, value, _ := strings.Cut(value, "="); ours {
				r.add(name, value, "the command line")
			}
		}
	}
	return files
}

// begin counts a section if it is the plugin's, and returns whether it is.
func (r *reader) begin(ours bool) bool {
	if ours {
		r.sections++
	}
	return ours
}

func (r *reader) add(name, value, place string) {
	name = strings.ToLower(strings.TrimSpace(name))
	r.found = append(r.found, Property{Name: name, Value: strings.TrimSpace(value), Place: place})
}

// file reads a configuration file and those that it includes.
func (r *reader) file(path string) {
	path = filepath.Clean(path)
	if r.files[path] || len(r.files) >= maxFiles {
		return
	}
	r.files[path] = true
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxBytes {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		r.yaml(path, data)
	default:
		r.classic(path, string(data))
	}
}

// set notes a variable that a file sets.
func (r *reader) set(name, value string) {
	name = strings.TrimSpace(name)
	r.env[name] = append(r.env[name], strings.TrimSpace(value))
}

// include reads the files that a pattern names, which is relative to the including file.
func (r *reader) include(from, pattern string) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	paths, _ := filepath.Glob(pattern) // a bad pattern is Fluent Bit's to refuse
	for _, path := range paths {
		r.file(path)
	}
}

// classic reads the format of sections in brackets and lines of a name and a value.
func (r *reader) classic(path, text string) {
	var section string
	var list [][2]string
	ours := false
	end := func() {
		r.begin(ours)
		for _, p := range list {
			if ours {
				r.add(p[0], p[1], path)
			}
		}
		list, ours = nil, false
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if include, ok := cutFold(line, "@include"); ok {
			r.include(path, include)
			continue
		}
		if set, ok := cutFold(line, "@set"); ok {
			name, value, _ := strings.Cut(set, "=")
			r.set(name, value)
			continue
		}
		switch {
		case line == "" || line[0] == '#' || line[0] == '@':
		case line[0] == '[':
			end()
			section = strings.ToLower(strings.Trim(line, "[] \t"))
		case section == string(r.kind):
			name, value := line, ""
			if i := strings.IndexAny(line, " \t"); i >= 0 {
				name, value = line[:i], strings.TrimSpace(line[i:])
			}
			ours = ours || strings.EqualFold(name, "name") && strings.EqualFold(value, r.plugin)
			list = append(list, [2]string{name, value})
		}
	}
	end()
}

// cutFold returns what follows a word at the begin of line, in any case.
func cutFold(line, word string) (rest string, ok bool) {
	if len(line) <= len(word) || !strings.EqualFold(line[:len(word)], word) ||
		!strings.ContainsAny(line[len(word):len(word)+1], " \t") {
		return "", false
	}
	return strings.TrimSpace(line[len(word):]), true
}
