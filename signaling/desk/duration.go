package desk

import (
	"fmt"
	"time"
)

// Duration is written as text, such as 20s or 1m30s.
type Duration time.Duration

// MarshalText writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time such as 20s or 1m30s", b)
	}
	*d = Duration(v)
	return nil
}

// or is the first of both that is set.
func (d Duration) or(other time.Duration) time.Duration {
	if d > 0 {
		return time.Duration(d)
	}
	return other
}
