package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"duet/relay"
	"duet/transport"
)

// metric is one figure of the relay's, as Prometheus takes it.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*relay.Stats) float64
}

func gauge(name, help string, value func(*relay.Stats) float64) metric {
	return metric{prometheus.NewDesc("duet_relay_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func counter(name, help string, value func(*relay.Stats) uint64) metric {
	return metric{prometheus.NewDesc("duet_relay_"+name+"_total", help, nil, nil), prometheus.CounterValue, func(s *relay.Stats) float64 { return float64(value(s)) }}
}

var relayMetrics = []metric{
	gauge("sessions", "Sessions, half-open ones among them.", func(s *relay.Stats) float64 { return float64(s.Sessions) }),
	gauge("loops", "Threads that forward media.", func(s *relay.Stats) float64 { return float64(s.Loops) }),
	gauge("streams", "Streams, those remembered among them.", func(s *relay.Stats) float64 { return float64(s.Streams) }),
	gauge("players", "Players of all streams.", func(s *relay.Stats) float64 { return float64(s.Players) }),
	gauge("packets_held", "Media packets in memory.", func(s *relay.Stats) float64 { return float64(s.PacketsLive) }),
	gauge("half_open", "Handshakes that were answered and not confirmed yet.", func(s *relay.Stats) float64 { return float64(s.Handshakes.HalfOpen) }),
	gauge("unsegmented", "1 if the system does not cut bursts up, which costs more.", func(s *relay.Stats) float64 {
		if s.Unsegmented {
			return 1
		}
		return 0
	}),
	counter("datagrams_in", "Datagrams received.", func(s *relay.Stats) uint64 { return s.DatagramsIn }),
	counter("datagrams_out", "Datagrams sent.", func(s *relay.Stats) uint64 { return s.DatagramsOut }),
	counter("bytes_in", "Bytes received, of UDP payload.", func(s *relay.Stats) uint64 { return s.BytesIn }),
	counter("bytes_out", "Bytes sent, of UDP payload.", func(s *relay.Stats) uint64 { return s.BytesOut }),
	counter("media_in", "Media packets that streams took, without repeats.", func(s *relay.Stats) uint64 { return s.MediaIn }),
	counter("media_out", "Media packets sent to players, for the first time.", func(s *relay.Stats) uint64 { return s.Sent.PacketsSent }),
	counter("retransmits", "Media packets sent again.", func(s *relay.Stats) uint64 { return s.Sent.Retransmits }),
	counter("repairs", "Parity packets sent.", func(s *relay.Stats) uint64 { return s.Sent.RepairsSent }),
	counter("handshakes", "First messages of clients.", func(s *relay.Stats) uint64 { return s.Handshakes.Inits }),
	counter("handshakes_accepted", "Clients let in.", func(s *relay.Stats) uint64 { return s.Handshakes.Accepted }),
	counter("handshakes_refused", "Clients told why not.", func(s *relay.Stats) uint64 { return s.Handshakes.Refused }),
	counter("handshakes_retried", "Clients asked for a cookie.", func(s *relay.Stats) uint64 { return s.Handshakes.Retries }),
	counter("handshakes_dropped", "First messages dropped without an answer.", func(s *relay.Stats) uint64 { return s.Handshakes.Dropped }),
	counter("confirmed", "Sessions that became real.", func(s *relay.Stats) uint64 { return s.Confirmed }),
	counter("migrations", "Sessions that went on over another path.", func(s *relay.Stats) uint64 { return s.Migrations }),
	counter("revoked", "Sessions that a floor ended.", func(s *relay.Stats) uint64 { return s.Revoked }),
	counter("resets", "Clients of an earlier run told so.", func(s *relay.Stats) uint64 { return s.Resets }),
	counter("unknown", "Datagrams for sessions that do not exist.", func(s *relay.Stats) uint64 { return s.Unknown }),
	counter("malformed", "Datagrams that are not of this version.", func(s *relay.Stats) uint64 { return s.Malformed }),
	counter("player_skips", "Slow players set forward to a key frame.", func(s *relay.Stats) uint64 { return s.PlayerSkips }),
	counter("frames_thinned", "Video frames left out for one slow player.", func(s *relay.Stats) uint64 { return s.FramesThinned }),
	counter("send_errors", "Datagrams that the system refused, or that a host answered to with an error.", func(s *relay.Stats) uint64 { return s.SendErrors }),
	counter("kernel_drops", "Datagrams that came faster than they were read.", func(s *relay.Stats) uint64 { return s.KernelDrops }),
	counter("handed_over", "Datagrams that came to a loop other than their session's: the system does not look at what they say.", func(s *relay.Stats) uint64 { return s.HandedOver }),
	counter("handover_drops", "Such datagrams dropped: their loop was too far behind.", func(s *relay.Stats) uint64 { return s.HandoverDrops }),
	counter("wakeups", "Wake-ups of the loops.", func(s *relay.Stats) uint64 { return s.Wakeups }),
}

var (
	relayUp      = prometheus.NewDesc("duet_relay_up", "1 if the loops answered.", nil, nil)
	relayDropped = prometheus.NewDesc("duet_relay_dropped_total", "What sessions dropped of what the network sent, by reason.", []string{"reason"}, nil)
	relayDelay   = prometheus.NewDesc("duet_relay_delay_seconds", "Of media, from the kernel to the send call; what the pacer holds back left out.", nil, nil)
	relayLag     = prometheus.NewDesc("duet_relay_loop_lag_seconds", "Of alarms, from when they were due to when their loop came to them.", nil, nil)
)

// relayCollector asks a relay's loops for their counters whenever Prometheus comes.
type relayCollector struct{ relay *relay.Server }

// Describe is of prometheus.Collector.
func (relayCollector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range relayMetrics {
		to <- m.desc
	}
	for _, d := range []*prometheus.Desc{relayUp, relayDropped, relayDelay, relayLag} {
		to <- d
	}
}

// Collect is of prometheus.Collector. A relay of which a loop does not answer is down.
func (c relayCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), adminPatience)
	defer cancel()
	st, err := c.relay.Stats(ctx)
	if err != nil {
		to <- prometheus.MustNewConstMetric(relayUp, prometheus.GaugeValue, 0)
		return
	}
	to <- prometheus.MustNewConstMetric(relayUp, prometheus.GaugeValue, 1)
	for _, m := range relayMetrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&st))
	}
	for reason, n := range st.Dropped {
		to <- prometheus.MustNewConstMetric(relayDropped, prometheus.CounterValue, float64(n), transport.DropReason(reason).String())
	}
	to <- histogram(relayDelay, &st.Delay)
	to <- histogram(relayLag, &st.LoopLag)
}

// histogram gives Prometheus one bucket a doubling.
func histogram(desc *prometheus.Desc, h *relay.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64)
	for end, n := range h.Octaves() {
		buckets[end.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(desc, h.Count, float64(h.Sum)/float64(time.Second), buckets)
}

// newRegistry holds what GET /metrics tells: the process, Go's runtime, and the relay if there is one.
func newRegistry(r *relay.Server) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if r != nil {
		reg.MustRegister(relayCollector{r})
	}
	return reg
}
