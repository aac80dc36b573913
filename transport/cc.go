package transport

import "time"

// Congestion control: how much may leave now, and how much should be made. docs/transport.md tells the reasons; in short:
//
//   - The signal is the queue that stands on the path (cc_arrivals.go), less what jitter makes look like one (cc_jitter.go). Loss alone is
//     no signal: our users have networks that lose 10 to 30 % at random.
//   - While nothing was ever seen to queue, the session is free: the window opens as it is used and frames leave back to back.
//   - A standing queue bounds it: the rate falls (cc_rate.go), the window holds no more than the path does, frames are spread over
//     their interval, and the encoder is asked for less until the queue is gone.
//   - A queue that stands whatever we do is somebody else's (cc_rival.go).
const (
	// initialWindow lets a cached key frame of 64 KB go out at once, headers included.
	initialWindow = 80 << 10
	minWindowSize = 6 << 10
	maxWindowSize = 8 << 20
	windowSlack   = 75 * time.Millisecond // of the rate, beyond the shortest round trip: reports come late, frames in bursts
	windowCeiling = 25 * time.Millisecond // while less than this stands, a free window may grow
	staleAfter    = time.Second           // without a report
	freeAfter     = 10 * time.Second      // without a queue: what bounded us is gone

	// minPacingRate in bytes a second: 16 Mbit/s, so that 64 KB leave within 35 ms.
	minPacingRate = 2_000_000
	pacingGain    = 2.0
	drainPacing   = 0.08 // of the rate, at least, while a queue drains

	headroomMost  = 2.0             // times the rate, beyond the rate
	headroomAfter = 2 * time.Second // without a queue
	headroomRamp  = time.Second     // for each time the rate

	backlogTime = 60 * time.Millisecond // of media waiting here is more than a frame
)

// congestion counts what is in flight against a window and sets the rate.
type congestion struct {
	window   int
	inFlight int
	limited  bool // the window held something back since the last report

	bounded  bool          // a standing queue has shown what the path carries
	queue    time.Duration // that stands, without jitter
	queued   time.Time     // when an intolerable one was last seen
	calm     time.Duration // for which nothing stood
	reported time.Time     // when the last report came
	arrived  arrivals
	jitter   jitter
	longer   longer
	rate     rate
	rival    rival
}

func (g *congestion) init(start float64) {
	*g = congestion{window: initialWindow, inFlight: g.inFlight, rate: rate{now: start, start: start, starting: true}}
}

// allows reports whether a datagram of n bytes may go.
func (g *congestion) allows(n int) bool { return g.inFlight == 0 || g.inFlight+n <= g.window }

func (g *congestion) sent(n int) { g.inFlight += n }

func (g *congestion) lost(n int) { g.inFlight = max(0, g.inFlight-n) }

// queueing reports whether something stands on the path.
func (g *congestion) queueing() bool { return g.queue > max(queueLow, g.tolerable()/2) }

// tolerable is the queue that is no reason to send less: about a datagram's length at our rate. So of flows that share a bottleneck those
// yield first that have more.
func (g *congestion) tolerable() time.Duration {
	return min(max(queueLeast, time.Duration(tolerableBytes/g.rate.now*float64(time.Second))), queueMost)
}

// headroom is how many times the rate what waits here may go for a while: more, the longer nothing has stood. A source that makes little shows
// so, with its larger frames, what else the path carries.
func (g *congestion) headroom() float64 {
	return 1 + min(headroomMost, max(0, (g.calm-headroomAfter).Seconds()/headroomRamp.Seconds()))
}

// look keeps for how long nothing stood. What stands now and then takes back some of that, what is intolerable all of it.
func (g *congestion) look(now time.Time) {
	d := min(max(0, now.Sub(g.reported)), growthTime)
	switch {
	case g.queue > g.tolerable():
		g.queued, g.calm = now, 0
	case g.queueing():
		g.calm = max(0, g.calm-d)
	default:
		g.calm += d
	}
}

// report takes the peer's report: n more bytes arrived, newest is when the newest datagram that did was sent, sent what we send in bytes a
// second.
func (g *congestion) report(now time.Time, n int, newest time.Time, rtt *rttEstimator, loss *lossRate, sent float64) {
	g.inFlight = max(0, g.inFlight-n)
	if silence := now.Sub(g.reported); !g.reported.IsZero() && silence > staleAfter { // the path may be another by now
		g.init(max(g.rate.now, g.rate.start/2))
	}
	standing := g.arrived.standing(now, g.jitter.level())
	g.jitter.look(now, standing)
	if g.longer.look(now, standing, g.jitter.level(), rtt.srtt(), g.bounded) {
		g.arrived.rebase()
		standing = 0
	}
	g.queue = max(0, max(standing, g.arrived.sudden(g.jitter.level()))-g.jitter.level())
	g.look(now)
	g.rival.look(now, g.queue, g.tolerable())
	g.adjust(now, newest, standing, rtt, loss, sent)
	g.reported = now
	if g.bounded && now.Sub(g.queued) > freeAfter {
		g.bounded = false
		g.window = max(g.window, initialWindow)
	}
	switch {
	case g.bounded:
		path := max(rtt.min(), rtt.srtt()-standing)
		if g.rival.on {
			path = rtt.srtt()
		}
		g.window = min(max(minWindowSize, int(g.headroom()*g.rate.now*(path+windowSlack).Seconds())), maxWindowSize)
	case g.limited && standing < windowCeiling:
		g.window = min(maxWindowSize, g.window+n)
	}
	g.limited = false
}

// piled reports whether more than a frame waits here.
func (g *congestion) piled(backlog int) bool {
	return float64(backlog) > g.rate.now*backlogTime.Seconds()
}

// pacing is in bytes a second, and bytes back to back. Where the path is known frames are spread over their interval: faster, each would be
// a queue of its own.
func (g *congestion) pacing(now time.Time, rtt *rttEstimator, _ int) (rate, burst float64) {
	if !g.bounded {
		return max(minPacingRate, pacingGain*float64(g.window)/rtt.srtt().Seconds()), paceBurst
	}
	return g.headroom() * max(minRate, g.rate.now*drainPacing, g.wanted(now)), boundedBurst
}
