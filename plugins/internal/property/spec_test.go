package property

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// parse reads some properties only with a certain source, and one only with a certain
// mode of that.
func parse(r *Reader) {
	if r.Choice("source", "file", "file", "queue") == "queue" {
		r.Required("queue", "a queue's name")
		if r.Choice("mode", "slow", "slow", "fast") == "fast" {
			r.Duration("pace", time.Second, 0, time.Hour)
		}
	} else {
		r.Text("path", "")
	}
	r.Secret("password")
	r.Bool("all", true)
}

func TestSpecsFindsAll(t *testing.T) {
	var names []string
	for _, s := range Specs(parse) {
		names = append(names, s.Name)
	}
	if want := []string{"source", "path", "password", "all", "queue", "mode", "pace"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
}

func TestTable(t *testing.T) {
	got := Table(Specs(parse)[:5], func(name string) string { return "what " + name + " is | for" })
	want := "| property | what | allowed | default |\n|---|---|---|---|\n" +
		"| `source` | what source is \\| for | file or queue | `file` |\n" +
		"| `path` | what path is \\| for | text |  |\n" +
		"| `password` | what password is \\| for | text, as ${NAME} from the environment |  |\n" +
		"| `all` | what all is \\| for | on or off | `on` |\n" +
		"| `queue` | what queue is \\| for | a queue's name | must be set |\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestDescription(t *testing.T) {
	for i, want := range []string{"file or queue", "text", "text, as ${NAME} from the environment", "on or off", "a queue's name; must be set"} {
		if got := Specs(parse)[i].Description(); got != want {
			t.Errorf("property %d is described as %q, want %q", i, got, want)
		}
	}
}

func TestSecretIsNotShown(t *testing.T) {
	r := reader(map[string]string{"password": " hunter2 "})
	if got := r.Secret("password"); got != "hunter2" {
		t.Errorf("the secret is %q", got)
	}
	r.Secret("other")
	if got := r.Summary(); got != "password=[redacted] other=" || strings.Contains(got, "hunter2") {
		t.Errorf("the summary is %q", got)
	}
}
