package transport

import "time"

// What the peer's clock says about the path, in buckets of 256 ticks (16 ms) of it.
const (
	arrivalBits    = 8
	arrivalBucket  = Tick << arrivalBits
	arrivalBuckets = 32
	arrivalWindow  = 5 // buckets: frames come in bursts, these are three of them
	arrivalCount   = 6
	baseWindow     = 10 * time.Second       // a least delay is trusted for one to two of these
	baseAge        = 160 * time.Millisecond // a least delay loses a tick each time: two clocks may part by 400 ppm
	baseFrozen     = 60 * time.Second       // at most, while a rival keeps the queue filled
)

// arrivals keeps when bytes arrived, and how late: one-way delay in ticks, from which only differences mean anything, because the two
// clocks have origins of their own.
type arrivals struct {
	bytes  [arrivalBuckets]int
	count  [arrivalBuckets]int
	least  [arrivalBuckets]transit
	newest uint32 // number of the newest bucket, of 24 bits
	any    bool
	base   [2]transit // least, in this window and the one before
	rotate time.Time
	aged   time.Time // until when the base has been aged
}

// transit is one datagram's way: its size matters, because at a bottleneck its own length takes time, which is no queue.
type transit struct {
	delay int32 // ticks
	size  int32 // bytes, 0: none
}

func (t transit) before(o transit) bool { return t.size > 0 && (o.size == 0 || t.delay-o.delay < 0) }

// note takes one packet's way: when it arrived on the peer's clock and when it left on ours, in ticks. While frozen, the base is kept: the
// queue is known to stand.
func (a *arrivals) note(now time.Time, arrived, left uint32, size int, frozen bool) {
	t := transit{delay: int32(arrived - left), size: int32(size)}
	bucket := arrived >> arrivalBits
	if !a.any {
		a.any = true
		a.newest = bucket
		a.base[1] = t
		a.rotate = now.Add(baseWindow)
		a.aged = now
	}
	for ; now.Sub(a.aged) >= baseAge; a.aged = a.aged.Add(baseAge) {
		a.base[0].delay++
		a.base[1].delay++
	}
	if now.After(a.rotate) && (!frozen || now.Sub(a.rotate) > baseFrozen) {
		a.base = [2]transit{{}, a.base[0]}
		a.rotate = now.Add(baseWindow)
	}
	if t.before(a.base[0]) {
		a.base[0] = t
	}
	ahead := int32((bucket-a.newest)<<arrivalBits) >> arrivalBits
	if ahead <= -arrivalBuckets {
		return
	}
	if ahead > arrivalBuckets {
		a.newest = bucket - arrivalBuckets // all of them are old
		ahead = arrivalBuckets
	}
	for ; ahead > 0; ahead-- {
		a.newest++
		i := a.newest % arrivalBuckets
		a.bytes[i], a.count[i], a.least[i] = 0, 0, transit{}
	}
	i := bucket % arrivalBuckets
	a.bytes[i] += size
	a.count[i]++
	if t.before(a.least[i]) {
		a.least[i] = t
	}
}

// rebase takes the least delay of late for the way's own.
func (a *arrivals) rebase() {
	if t := a.recent(); t.size > 0 {
		a.base = [2]transit{t, t}
	}
}

// recent is the least of the last arrivalWindow, or of arrivalCount packets where they come slowly: one alone would show its own jitter.
func (a *arrivals) recent() transit {
	least, count := transit{}, 0
	for k := uint32(0); k < arrivalWindow || count < arrivalCount && k < arrivalBuckets; k++ {
		count += a.count[(a.newest-k)%arrivalBuckets]
		if t := a.least[(a.newest-k)%arrivalBuckets]; t.before(least) {
			least = t
		}
	}
	return least
}

// standing is the queue that stood on the path all through the last arrivalWindow, if the path carries rate bytes a second.
func (a *arrivals) standing(rate float64) time.Duration {
	least := a.recent()
	base := a.base[0]
	if a.base[1].before(base) {
		base = a.base[1]
	}
	if least.size == 0 {
		return 0
	}
	queue := time.Duration(least.delay-base.delay) * Tick
	if longer := least.size - base.size; longer > 0 {
		queue -= time.Duration(float64(longer) / rate * float64(time.Second))
	}
	return max(0, queue)
}

// rate is what arrived during the last whole buckets, in bytes a second.
func (a *arrivals) rate() float64 {
	sum := 0
	for k := range uint32(arrivalWindow) {
		sum += a.bytes[(a.newest-1-k)%arrivalBuckets]
	}
	return float64(sum) / (arrivalWindow * arrivalBucket.Seconds())
}
