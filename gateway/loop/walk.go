package loop

// Panics. A panic in a task ends the task, and the stream that it had in hand; a
// panic in a step of a walk ends that step, and its stream. Nothing else is lost.

// Walk is the place of a task that works on many streams, one step for each. The zero
// Walk stands before the first step.
type Walk struct{ next int }

// Next goes on to the next of n steps, and reports whether there is one. n may change
// between steps.
func (w *Walk) Next(n int) bool {
	if w.next >= n {
		return false
	}
	w.next++
	return true
}

// Step is the index of the step that Next went on to.
func (w *Walk) Step() int { return w.next - 1 }

// Walk calls pass until it has returned. pass takes steps from w.Next for as long as there
// is one, and names the stream of each with [Loop.Hand]; after a panic it is called again,
// and so goes on behind the step that failed. On-loop only.
func (l *Loop) Walk(w *Walk, pass func()) {
	for at := -1; w.next != at; { // who takes no step would panic for ever
		at = w.next
		if l.actor.Try(pass) {
			break
		}
	}
	l.cur = 0
}

// Hand names the stream that a task, or a step of a walk, is about to work on: if it
// panics, that stream is closed and no other. On-loop only.
func (l *Loop) Hand(slot uint32) { l.cur = slot + 1 }
