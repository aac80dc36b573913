package transporttest

import (
	"time"

	"duet/transport"
)

// Skewed is an endpoint whose clock is Ahead of the Network's and runs faster by PPM millionths (slower if negative). Everything
// that it shows to the Network is in the Network's time.
type Skewed struct {
	Endpoint
	Ahead time.Duration
	PPM   float64
}

// Local is the endpoint's own time.
func (s *Skewed) Local(now time.Time) time.Time {
	d := now.Sub(Start)
	return now.Add(s.Ahead + time.Duration(float64(d)*s.PPM/1e6))
}

// HandleDatagram implements Endpoint.
func (s *Skewed) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	s.Endpoint.HandleDatagram(s.Local(now), from, b)
}

// HandleTimeout implements Endpoint.
func (s *Skewed) HandleTimeout(now time.Time) { s.Endpoint.HandleTimeout(s.Local(now)) }

// Poll implements Endpoint.
func (s *Skewed) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	return s.Endpoint.Poll(s.Local(now), buf)
}

// Deadline implements Endpoint. It may be late by a microsecond, never early.
func (s *Skewed) Deadline() time.Time {
	at := s.Endpoint.Deadline()
	if at.IsZero() {
		return at
	}
	d := at.Add(-s.Ahead).Sub(Start)
	return Start.Add(time.Duration(float64(d)/(1+s.PPM/1e6)) + time.Microsecond)
}
