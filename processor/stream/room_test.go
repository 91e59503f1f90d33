package stream

import (
	"fmt"
	"testing"
	"time"
)

// However many records a commit may have, its memory is bounded: room ends it.
func TestCommitsOfManyEntitiesEnd(t *testing.T) {
	c, task := bigCommit(0)
	task.to, task.begun = 0, true
	read := 0
	for at := time.Now().Add(-time.Minute); c.room() > 0; {
		for range min(c.room(), 5000) {
			if err := c.Process(shipped(int64(read), at, fmt.Sprint("call ", read), fmt.Sprint("key ", read), fmt.Sprint("principal ", read), "caller")); err != nil {
				t.Fatal(err)
			}
			read++
		}
	}
	if n := task.Table.Len(); n > mostPartials || n < mostPartials-2*callPartials || read < 20_000 {
		t.Errorf("%d partials of %d records wait, want %d at most", n, read, mostPartials)
	}
	output(t, c)
	if c.room() < 20_000 {
		t.Errorf("there is room for %d records after a commit", c.room())
	}
}
