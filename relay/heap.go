package relay

import "time"

// deadlines is a binary heap of sessions and subscriptions by the time at which they want to be woken. Entries know their place,
// so that moving one allocates nothing.
type deadlines struct {
	entries []*alarm
}

// alarm is one entry: whose, and when.
type alarm struct {
	at    time.Time
	index int // in the heap plus one; 0: not in it
	ring  func(now time.Time)
}

// set moves an alarm to a new time; the zero time takes it out.
func (d *deadlines) set(a *alarm, at time.Time) {
	switch {
	case at.IsZero():
		d.remove(a)
		return
	case a.index == 0:
		a.at = at
		d.entries = append(d.entries, a)
		a.index = len(d.entries)
		d.up(a.index - 1)
		return
	case a.at.Equal(at):
		return
	}
	a.at = at
	d.down(a.index - 1)
	d.up(a.index - 1)
}

func (d *deadlines) remove(a *alarm) {
	if a.index == 0 {
		return
	}
	i, last := a.index-1, len(d.entries)-1
	d.swap(i, last)
	d.entries[last] = nil
	d.entries = d.entries[:last]
	a.index = 0
	if i < last {
		d.down(i)
		d.up(i)
	}
}

// next is the earliest time, zero if there is none.
func (d *deadlines) next() time.Time {
	if len(d.entries) == 0 {
		return time.Time{}
	}
	return d.entries[0].at
}

// due takes the earliest alarm out if its time has come.
func (d *deadlines) due(now time.Time) *alarm {
	if len(d.entries) == 0 || d.entries[0].at.After(now) {
		return nil
	}
	a := d.entries[0]
	d.remove(a)
	return a
}

func (d *deadlines) swap(i, j int) {
	d.entries[i], d.entries[j] = d.entries[j], d.entries[i]
	d.entries[i].index, d.entries[j].index = i+1, j+1
}

func (d *deadlines) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !d.entries[i].at.Before(d.entries[parent].at) {
			return
		}
		d.swap(i, parent)
		i = parent
	}
}

func (d *deadlines) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(d.entries) {
			return
		}
		if child+1 < len(d.entries) && d.entries[child+1].at.Before(d.entries[child].at) {
			child++
		}
		if !d.entries[child].at.Before(d.entries[i].at) {
			return
		}
		d.swap(i, child)
		i = child
	}
}
