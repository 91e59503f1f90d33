package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// beat is the interval of events on a stream without news, by which both sides notice that
// the other is gone.
const beat = 15 * time.Second

// pause is the least time between two events of a stream.
const pause = time.Second

// stream is GET /api/v1/stream: Server-Sent Events. The event "changed" says that the
// history has grown; its id is the number of the commit. A page that was away gets it at
// once if it missed any, and asks for its view again: nothing is replayed, so a stream needs
// no memory for what a page has missed.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusServiceUnavailable, "too_many", fmt.Sprintf("%d pages get updates already; close one", maxStreams))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold the events back
	out := http.NewResponseController(w)
	send := func(event string, id int64) bool {
		out.SetWriteDeadline(time.Now().Add(5 * time.Second)) // a slow reader is dropped, and comes again
		_, err := fmt.Fprintf(w, "event: %s\nid: %d\ndata: {}\n\n", event, id)
		return err == nil && out.Flush() == nil
	}
	out.SetReadDeadline(time.Time{}) // the server's is for requests
	last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	seen, changed := s.cfg.Store.Changed()
	first := "hello"
	if err == nil && last != seen {
		first = "changed"
	}
	if !send(first, seen) {
		return
	}
	for {
		select {
		case <-changed:
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			}
			if seen, changed = s.cfg.Store.Changed(); !send("changed", seen) {
				return
			}
		case <-time.After(beat):
			if !send("beat", seen) {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.ending.Done():
			return
		}
	}
}
