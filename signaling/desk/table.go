package desk

import (
	"encoding/json"
	"maps"
)

// table is a map of entities that can take back what was changed since the last commit. Who has a pointer from get has a value that never
// changes again: edit makes a copy.
type table[V any] struct {
	m     map[string]*V
	saved map[string]*V // as of the last commit, of what was changed since; nil: it was not there
}

func newTable[V any]() table[V] {
	return table[V]{m: make(map[string]*V), saved: make(map[string]*V)}
}

// get returns the entity, or nil. It must not be changed.
func (t *table[V]) get(id string) *V { return t.m[id] }

// edit returns a copy that takes the entity's place, to be changed; nil if there is none. Slices and maps inside are shared with the one that
// it replaces: they are replaced, not written to.
func (t *table[V]) edit(id string) *V {
	old := t.m[id]
	if old == nil {
		return nil
	}
	if _, ok := t.saved[id]; ok { // changed already since the last commit; but somebody may hold it
		v := *old
		t.m[id] = &v
		return &v
	}
	t.saved[id] = old
	v := *old
	t.m[id] = &v
	return &v
}

func (t *table[V]) put(id string, v *V) {
	if _, ok := t.saved[id]; !ok {
		t.saved[id] = t.m[id]
	}
	t.m[id] = v
}

func (t *table[V]) remove(id string) {
	if _, ok := t.saved[id]; !ok {
		t.saved[id] = t.m[id]
	}
	delete(t.m, id)
}

func (t *table[V]) copied() table[V] { return table[V]{m: maps.Clone(t.m), saved: make(map[string]*V)} }

func (t *table[V]) len() int { return len(t.m) }

func (t *table[V]) commit() { clear(t.saved) }

func (t *table[V]) rollback() {
	for id, v := range t.saved {
		if v == nil {
			delete(t.m, id)
		} else {
			t.m[id] = v
		}
	}
	clear(t.saved)
}

// MarshalJSON writes the map.
func (t table[V]) MarshalJSON() ([]byte, error) { return json.Marshal(t.m) }

// UnmarshalJSON reads it.
func (t *table[V]) UnmarshalJSON(b []byte) error {
	*t = newTable[V]()
	var m map[string]*V
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	maps.Copy(t.m, m)
	return nil
}
