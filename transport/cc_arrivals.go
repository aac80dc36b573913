package transport

import "time"

// What the peer's clock says about the path, in buckets of 256 ticks (16 ms) of it.
const (
	arrivalBits    = 8
	arrivalBucket  = Tick << arrivalBits
	arrivalBuckets = 32
	arrivalWindow  = 5 // buckets: frames come in bursts, these are three of them
	arrivalCount   = 6
	busyLeast      = 3 // buckets: over less, what comes through is not measured

	suddenCount = 2                     // datagrams that show a sudden queue
	suddenQueue = 20 * time.Millisecond // beyond jitter, is one
	suddenSlack = 4 * time.Millisecond  // by which a later datagram may be less late

	// At a bottleneck a datagram's own length takes time, which is no queue: datagrams are compared with others of about their size.
	sizeClasses     = 3
	sizeClassSpan   = 400                  // bytes
	sizesApart      = 8 * time.Millisecond // that a queue may seem to differ between them
	sizesApartAfter = 500 * time.Millisecond

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
	apart  [sizeClasses]time.Time // since when a size's base has not agreed with the others'
	aged   time.Time              // until when the base has been aged
}

type arrivalsBucket struct {
	bytes, count int
	least        [sizeClasses]leastDelay
}

// alone is the least of one bucket, however few they are.
func (b *arrivalsBucket) alone() (least [sizeClasses]delay) {
	for class := range least {
		least[class] = b.least[class][0]
	}
	return least
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
func (a *arrivals) standing(now time.Time, jitter time.Duration) time.Duration {
	least := a.recent()
	for class := range least {
		if least[class].before(a.base[0][class]) {
			a.base[0][class] = least[class]
		}
	}
	base := a.leastKnown()
	queue, known := above(least, &base)
	if known {
		a.agree(now, &least, &base, queue, jitter)
	}
	return queue
}

// sudden is a queue that has built up within the last few hundredths of a second, where jitter explains so much; 0 if that can't be said:
// too few datagrams, or such that came less late behind some that came later, as after a stall.
func (a *arrivals) sudden(jitter time.Duration) time.Duration {
	base := a.leastKnown()
	queue, older, count := time.Duration(0), time.Duration(0), 0
	for k := uint32(0); k < arrivalWindow && count < suddenCount; k++ {
		b := a.bucket(k)
		q, known := above(b.alone(), &base)
		switch {
		case !known:
			continue
		case count == 0:
			queue = q
		case q > older+suddenSlack:
			return 0
		}
		if q < jitter+queueLeast {
			return 0
		}
		older = q
		count += b.count
	}
	if count < suddenCount || queue < jitter+suddenQueue {
		return 0
	}
	return queue
}

// agree corrects the base of a size for which a longer queue would stand than for the others, all the time: there is only one queue.
func (a *arrivals) agree(now time.Time, least, base *[sizeClasses]delay, queue, jitter time.Duration) {
	for class := range least {
		since := &a.apart[class]
		switch apart := time.Duration(least[class].ticks-base[class].ticks)*Tick - queue; {
		case !least[class].known:
		case apart <= sizesApart+jitter:
			*since = time.Time{}
		case since.IsZero():
			*since = now
		case now.Sub(*since) > sizesApartAfter:
			corrected := delay{least[class].ticks - int32(queue/Tick), true}
			a.base[0][class], a.base[1][class] = corrected, corrected
			*since = time.Time{}
		}
	}
}

// above is how far some delays are above others: the least of all classes.
func above(least [sizeClasses]delay, base *[sizeClasses]delay) (queue time.Duration, known bool) {
	for class := range least {
		if !least[class].known || !base[class].known {
			continue
		}
		if q := max(0, time.Duration(least[class].ticks-base[class].ticks)*Tick); !known || q < queue {
			queue, known = q, true
		}
	}
	return queue, known
}

// leastKnown is the base over both windows.
func (a *arrivals) leastKnown() [sizeClasses]delay {
	base := a.base[0]
	for class := range base {
		if a.base[1][class].before(base[class]) {
			base[class] = a.base[1][class]
		}
	}
	return base
}

// served is how many bytes a second arrived while a queue of at least so much stood without a break until now: what the path carries. It is
// measured over busyLeast whole buckets or more.
func (a *arrivals) served(queue time.Duration) float64 {
	base := a.leastKnown()
	sum, n := 0, 0
	for n < arrivalBuckets-1 {
		b := a.bucket(uint32(n) + 1)
		if q, known := above(b.alone(), &base); known && q < queue && n >= busyLeast {
			break
		}
		sum += b.bytes
		n++
	}
	return float64(sum) / (float64(n) * arrivalBucket.Seconds())
}
