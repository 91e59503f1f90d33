package window

// Traffic is an engine's memory of all its calls together, to judge silence and to
// forget. Times are nanoseconds since 1970.
type Traffic struct {
	Latest  int64 // start of the last window with calls that closed; 0: none
	Resumed int64 // start of the first such window after everything was last silent
	Told    bool  // an anomaly has reported that everything is silent
	// Listened is the event time up to which silences have been judged: those due before
	// are not judged again.
	Listened int64
	// Swept is the event time of the last sweep of forgotten entities. The known entities
	// determine which calls count for others, so a sweep must not depend on restarts.
	Swept int64
}

// Traffic returns the argument of SetTraffic for a later restore.
func (e *Engine) Traffic() Traffic { return e.traffic }

// SetTraffic restores a result of Traffic. Call it before Restored.
func (e *Engine) SetTraffic(t Traffic) { e.traffic = t }

// lull is the number of windows without any call after which everything counts as silent.
const lull = 3

// heard notes that a window with calls closed.
func (e *Engine) heard(start int64) {
	t := &e.traffic
	if t.Latest == 0 || start-t.Latest > lull*e.cfg.Size {
		t.Resumed, e.resumed = start, true
	}
	if start > t.Latest {
		t.Latest, t.Told = start, false
	}
}
