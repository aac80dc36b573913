package bench

import "time"

// step is a bottleneck's rate from a time on.
type step struct {
	at   time.Duration
	rate int64 // bit/s
}

// span is a stretch of a run.
type span struct{ from, to time.Duration }

func (s span) holds(t time.Duration) bool { return t >= s.from && t < s.to }

// rmcatFlow is one flow of a case.
type rmcatFlow struct {
	start  time.Duration
	oneWay time.Duration // 0: 50 ms
	back   bool          // media goes backward
	pause  span
}

// rmcatCase is one test case of RFC 8867, section 5, with one choice of what the RFC leaves open.
type rmcatCase struct {
	id       string
	title    string
	length   time.Duration
	capacity [2][]step
	queue    time.Duration // 0: 300 ms
	loss     float64
	media    []rmcatFlow
	long     int    // TCP flows without end, from the beginning
	short    int    // sequences of short TCP flows
	fair     []span // when Jain's index is taken: all media flows are there
	bounds   []rmcatBound
}

// rmcatBound is what one figure must keep to.
type rmcatBound struct {
	figure   string
	min, max float64 // max 0: none
}

const (
	sec  = time.Second
	mbit = 1_000_000

	rmcatOneWay = 50 * time.Millisecond
	rmcatQueue  = 300 * time.Millisecond

	// Short TCP flows of 5.7: files of an even distribution, with idle times of an exponential one between them.
	rmcatShortMin  = 30 << 10
	rmcatShortMax  = 50 << 10
	rmcatShortIdle = 10 * time.Second
	rmcatShortFrom = 2 // so many sequences begin with a file at once, the others with an idle time
)

// rmcatSuite is what a run without a choice of cases does.
func rmcatSuite() []rmcatCase {
	single := [2][]step{{{0, mbit}, {40 * sec, 2.5 * mbit}, {60 * sec, 0.6 * mbit}, {80 * sec, mbit}}}
	one := []rmcatFlow{{}}
	long := rmcatCase{
		id: "5.6", title: "one flow and a long TCP flow", length: 120 * sec, capacity: [2][]step{{{0, 2 * mbit}}}, media: one, long: 1,
		bounds: []rmcatBound{{figure: figureShare, min: 0.15, max: 0.7}},
	}
	longer := long
	longer.title, longer.queue, longer.bounds = "one flow and a long TCP flow, a queue of 1000 ms", sec, nil
	lossy := func(title string, loss, utilisation float64) rmcatCase {
		return rmcatCase{id: "5.1", title: title, length: 100 * sec, capacity: single, loss: loss, media: one,
			bounds: []rmcatBound{{figure: figureUtilisation, min: utilisation}}}
	}
	return []rmcatCase{
		{
			id: "5.1", title: "one flow, variable capacity", length: 100 * sec, capacity: single, media: one,
			bounds: []rmcatBound{
				{figure: figureUtilisation, min: 0.9}, {figure: figureQueueOutside, max: 30}, {figure: figureRecovery, max: 500}, {figure: figureRise, max: 4000},
			},
		},
		lossy("one flow, variable capacity, 10 % random loss", 0.1, 0.85),
		lossy("one flow, variable capacity, 20 % random loss", 0.2, 0.8),
		{
			id: "5.2", title: "two flows, variable capacity", length: 125 * sec, media: []rmcatFlow{{}, {}}, fair: []span{{0, 125 * sec}},
			capacity: [2][]step{{{0, 4 * mbit}, {25 * sec, 2 * mbit}, {50 * sec, 3.5 * mbit}, {75 * sec, mbit}, {100 * sec, 2 * mbit}}},
		},
		{
			id: "5.3", title: "one flow each way, a congested way back", length: 100 * sec, media: []rmcatFlow{{}, {back: true}},
			capacity: [2][]step{
				{{0, 2 * mbit}, {20 * sec, mbit}, {40 * sec, 0.5 * mbit}, {60 * sec, 2 * mbit}},
				{{0, 2 * mbit}, {35 * sec, 0.8 * mbit}, {70 * sec, 2 * mbit}},
			},
		},
		{
			id: "5.4", title: "three flows", length: 120 * sec, capacity: [2][]step{{{0, 3.5 * mbit}}},
			media: []rmcatFlow{{}, {start: 20 * sec}, {start: 40 * sec}}, fair: []span{{40 * sec, 120 * sec}},
			bounds: []rmcatBound{{figure: figureJain, min: 0.95}},
		},
		{
			id: "5.5", title: "five flows of different round trips", length: 300 * sec, capacity: [2][]step{{{0, 4 * mbit}}},
			media: []rmcatFlow{
				{oneWay: 10 * time.Millisecond}, {start: 10 * sec, oneWay: 25 * time.Millisecond}, {start: 20 * sec, oneWay: 50 * time.Millisecond},
				{start: 30 * sec, oneWay: 100 * time.Millisecond}, {start: 40 * sec, oneWay: 150 * time.Millisecond},
			},
			fair:   []span{{40 * sec, 300 * sec}},
			bounds: []rmcatBound{{figure: figureJain, min: 0.85}},
		},
		long,
		longer,
		{
			id: "5.7", title: "two flows and ten sequences of short TCP flows", length: 300 * sec, capacity: [2][]step{{{0, 2 * mbit}}},
			media: []rmcatFlow{{}, {}}, short: 10, fair: []span{{0, 300 * sec}},
		},
		{
			id: "5.8", title: "three flows, one of them pauses", length: 120 * sec, capacity: [2][]step{{{0, 3.5 * mbit}}},
			media: []rmcatFlow{{pause: span{40 * sec, 60 * sec}}, {}, {}}, fair: []span{{0, 40 * sec}, {60 * sec, 120 * sec}},
		},
	}
}
