package transport

import "time"

// What the peer's clock says about the path, in buckets of 256 ticks (16 ms) of it.
const (
	arrivalBits    = 8
	arrivalBucket  = Tick << arrivalBits
	arrivalBuckets = 32
	arrivalWindow  = 5 // buckets: frames come in bursts, these are three of them
	arrivalCount   = 6

	// At a bottleneck a datagram's own length takes time, which is no queue: datagrams are compared with others of about their size.
	sizeClasses   = 3
	sizeClassSpan = 400 // bytes

	baseWindow = 10 * time.Second       // a least delay is trusted for one to two of these
	baseAge    = 160 * time.Millisecond // a least delay loses a tick each time: two clocks may part by 400 ppm
	baseFrozen = 60 * time.Second       // at most, while a rival keeps the queue filled
)

// arrivals keeps when bytes arrived, and how late: one-way delay in ticks, from which only differences mean anything, because the two
// clocks have origins of their own.
type arrivals struct {
	ring   [arrivalBuckets]arrivalsBucket
	newest uint32 // number of the newest bucket, of 24 bits
	any    bool
	base   [2][sizeClasses]delay // least, in this window and the one before
	rotate time.Time
	aged   time.Time // until when the base has been aged
}

type arrivalsBucket struct {
	bytes, count int
	least        [sizeClasses]leastDelay
}

// delay is a one-way delay in ticks, if there is one.
type delay struct {
	ticks int32
	known bool
}

func (d delay) before(o delay) bool { return d.known && (!o.known || d.ticks-o.ticks < 0) }

// leastDelay is the two least of some delays. The second counts: one datagram alone may have come a shorter way than all others, as a copy
// that somebody else sent, and would make of that way's absence a queue.
type leastDelay [2]delay

func (l *leastDelay) take(d delay) {
	switch {
	case d.before(l[0]):
		l[0], l[1] = d, l[0]
	case d.before(l[1]):
		l[1] = d
	}
}

// note takes one packet's way: when it arrived on the peer's clock and when it left on ours, in ticks. While frozen, the base is kept: the
// queue is known to stand.
func (a *arrivals) note(now time.Time, arrived, left uint32, size int, frozen bool) {
	bucket := arrived >> arrivalBits
	if !a.any {
		a.any = true
		a.newest = bucket
		a.rotate = now.Add(baseWindow)
		a.aged = now
	}
	for ; now.Sub(a.aged) >= baseAge; a.aged = a.aged.Add(baseAge) {
		for i := range a.base {
			for class := range a.base[i] {
				a.base[i][class].ticks++
			}
		}
	}
	if now.After(a.rotate) && (!frozen || now.Sub(a.rotate) > baseFrozen) {
		a.base = [2][sizeClasses]delay{{}, a.base[0]}
		a.rotate = now.Add(baseWindow)
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
		*a.bucket(0) = arrivalsBucket{}
	}
	b := &a.ring[bucket%arrivalBuckets]
	b.bytes += size
	b.count++
	b.least[min(size/sizeClassSpan, sizeClasses-1)].take(delay{int32(arrived - left), true})
}

// bucket is the one so many before the newest.
func (a *arrivals) bucket(back uint32) *arrivalsBucket {
	return &a.ring[(a.newest-back)%arrivalBuckets]
}

// recent is the least of the last arrivalWindow, or of arrivalCount packets where they come slowly: one alone would show its own jitter.
func (a *arrivals) recent() (least [sizeClasses]delay) {
	var pairs [sizeClasses]leastDelay
	count := 0
	for k := uint32(0); k < arrivalWindow || count < arrivalCount && k < arrivalBuckets; k++ {
		b := a.bucket(k)
		count += b.count
		for class := range pairs {
			pairs[class].take(b.least[class][0])
			pairs[class].take(b.least[class][1])
		}
	}
	for class := range pairs {
		least[class] = pairs[class][1]
	}
	return least
}

// rebase takes the least delay of late for the way's own.
func (a *arrivals) rebase() {
	least := a.recent()
	a.base = [2][sizeClasses]delay{least, least}
}

// standing is the queue that stood on the path all through the last arrivalWindow.
func (a *arrivals) standing() time.Duration {
	queue, some := time.Duration(0), false
	for class, least := range a.recent() {
		if !least.known {
			continue
		}
		if least.before(a.base[0][class]) {
			a.base[0][class] = least
		}
		base := a.base[0][class]
		if a.base[1][class].before(base) {
			base = a.base[1][class]
		}
		if q := time.Duration(least.ticks-base.ticks) * Tick; !some || q < queue {
			queue, some = q, true
		}
	}
	return max(0, queue)
}

// rate is what arrived during the last whole buckets, in bytes a second.
func (a *arrivals) rate() float64 {
	sum := 0
	for k := range uint32(arrivalWindow) {
		sum += a.bucket(k + 1).bytes
	}
	return float64(sum) / (arrivalWindow * arrivalBucket.Seconds())
}
