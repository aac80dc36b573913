package bench

import (
	"time"

	"duet/bench/netem"
)

// ProxyReport is what a proxy has done, for people and programs.
type ProxyReport struct {
	Seconds float64        `json:"seconds"` // since the first client, 0 if there was none
	Flows   int            `json:"flows"`   // ever
	Evicted uint64         `json:"evicted"` // of them, those that had to give way
	Refused uint64         `json:"refused"` // datagrams of clients that could not be served
	Up      ProxyDirection `json:"up"`
	Down    ProxyDirection `json:"down"`
}

// ProxyDirection is one direction of all flows. Datagrams unless it says otherwise.
type ProxyDirection struct {
	Sent           uint64  `json:"sent"`
	SentBytes      uint64  `json:"sent_bytes"`
	Duplicated     uint64  `json:"duplicated"`
	Delivered      uint64  `json:"delivered"`
	DeliveredBytes uint64  `json:"delivered_bytes"`
	Lost           uint64  `json:"lost"`          // at random, behind the bottleneck
	QueueDropped   uint64  `json:"queue_dropped"` // before it
	DownDropped    uint64  `json:"down_dropped"`  // in an outage
	LimitDropped   uint64  `json:"limit_dropped"` // more under way than the proxy holds
	Marked         uint64  `json:"marked"`
	Gone           float64 `json:"gone"`      // share of Sent that was lost or dropped, whatever by
	SentRate       float64 `json:"sent_rate"` // bit/s
	Rate           float64 `json:"rate"`      // bit/s delivered
	Queue          struct {
		P50 float64 `json:"p50"`
		P95 float64 `json:"p95"`
	} `json:"queue_ms"` // wait at the bottleneck
}

// ReportProxy tells what happened between two looks at a proxy's counters, a time apart. earlier is zero for everything.
func ReportProxy(earlier, s ProxyStats, took time.Duration) ProxyReport {
	return ProxyReport{
		Seconds: took.Seconds(),
		Flows:   int(s.Opened - earlier.Opened),
		Evicted: s.Evicted - earlier.Evicted,
		Refused: s.Refused - earlier.Refused,
		Up:      reportDirection(&earlier.Up, &s.Up, took),
		Down:    reportDirection(&earlier.Down, &s.Down, took),
	}
}

func reportDirection(a, b *netem.Stats, took time.Duration) ProxyDirection {
	d := ProxyDirection{
		Sent:           b.Sent - a.Sent,
		SentBytes:      b.SentBytes - a.SentBytes,
		Duplicated:     b.Duplicated - a.Duplicated,
		Delivered:      b.Delivered - a.Delivered,
		DeliveredBytes: b.DeliveredBytes - a.DeliveredBytes,
		Lost:           b.Lost - a.Lost,
		QueueDropped:   b.QueueDropped - a.QueueDropped,
		DownDropped:    b.DownDropped - a.DownDropped,
		LimitDropped:   b.LimitDropped - a.LimitDropped,
		Marked:         b.Marked - a.Marked,
	}
	if d.Sent > 0 {
		d.Gone = float64(d.Lost+d.QueueDropped+d.DownDropped+d.LimitDropped) / float64(d.Sent)
	}
	if s := took.Seconds(); s > 0 {
		d.SentRate, d.Rate = float64(d.SentBytes)*8/s, float64(d.DeliveredBytes)*8/s
	}
	ms := func(t time.Duration) float64 { return float64(t) / float64(time.Millisecond) }
	waits := b.QueueDelay.Since(a.QueueDelay)
	d.Queue.P50, d.Queue.P95 = ms(waits.Quantile(.5)), ms(waits.Quantile(.95))
	return d
}
