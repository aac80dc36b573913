package transport

import "math"

// planner is the default policy. For every block it finds the cheapest number of symbols to send now, given how many the receiver
// lacks, how many more report rounds fit before the deadline, and what a miss costs: a small dynamic program,
//
//	V(m, r) = min over s of  s + Σ P(i of s arrive) · ((1−q) · V(m−i, r−1) + q · V(m−i, r−2)),
//	V(0, ·) = 0,    V(m > 0, r < 0) = price,
//
// over a path that loses packets in runs (channel.go), and a report with probability q: the loss, as if the way back were no better, or
// its square where there is time for a second report. Costs are in symbols. What was worked out is kept, so a network that stays as it
// is costs a look into a table for each block.
type planner struct {
	tables [channelLosses][len(channelRuns)]*planTable
}

// NewPlanner returns the default policy. It may serve any number of sessions of one goroutine, and then works everything out once for all.
func NewPlanner() Policy { return &planner{} }

const (
	plannerRounds = 4  // more rounds than these change nothing
	plannerExact  = 48 // missing symbols up to which the program is solved; beyond, the share is what counts
	plannerMost   = 250

	// However much is lost, no more is sent: beyond, a lower bitrate is what helps.
	plannerTimes = 3
	plannerSpare = 4
	windowTimes  = 2.2
	// narrowShare of the media is the most that parity takes on a path that is known to be small.
	narrowShare = 0.6

	// priceOfMiss is what a block that does not arrive in time costs: with it, misses at a hop stay below one in a thousand.
	priceOfMiss = 350.0
	// runPrice times that, where losses come in runs: those share more than the model knows.
	runPrice = 2.0
	// hastePrice likewise, where a round leaves little time over: it may turn out not to fit.
	hastePrice = 2.0
	// priceOfDelay is what it costs when a block arrives too late for the next hop's ordinary repair: that hop then spends some parity
	// more, and only rarely is it a miss.
	priceOfDelay = 14.0
	// windowMiss is how often a window may be too little.
	windowMiss = 5e-4
)

// planClass is what a table's decisions depend on beside the channel.
type planClass struct {
	price   float64
	reports int // that fit into a round
}

const plannerReports = 4 // more change nothing

// planClasses is the number of classes: two prices, and so many reports.
const planClasses = 2 * plannerReports

func planClassAt(i int) planClass {
	if i < plannerReports {
		return planClass{priceOfMiss, i + 1}
	}
	return planClass{priceOfDelay, i - plannerReports + 1}
}

// classOf finds the class: a receiver in a hurry reports a gap twice, another one goes on reporting, every feedbackInterval.
func classOf(b *Plan) int {
	reports := 2 + int(b.Slack/feedbackInterval)
	if b.Rounds >= tightRounds {
		reports++
	}
	class := min(reports, plannerReports) - 1
	if b.Later {
		class += plannerReports
	}
	return class
}

// planTable holds the decisions for one channel, by class.
type planTable struct {
	channel *channel
	shares  [plannerExact + 1]float64           // of windows
	known   [planClasses][plannerRounds + 1]int // how many missing symbols each row is solved up to
	value   [planClasses][plannerRounds + 1][plannerExact + 1]float64
	choice  [planClasses][plannerRounds + 1][plannerExact + 1]uint8
}

func (p *planner) table(loss, run float64) *planTable {
	l, r := channelIndex(loss*lossSafety, run)
	t := p.tables[l][r]
	if t == nil {
		t = &planTable{channel: newChannel(l, r)}
		p.tables[l][r] = t
	}
	return t
}

// symbols is how many to send now for missing ones.
func (p *planner) symbols(missing int, b *Plan) int {
	n := p.wanted(missing, b)
	if b.Narrow && n > missing {
		n = min(n, missing+1+int(narrowShare*float64(missing)))
	}
	return n
}

// wanted is what would be best without regard to what it takes away.
func (p *planner) wanted(missing int, b *Plan) int {
	if missing <= 0 || b.Loss < lossFloor || b.Queued {
		return missing
	}
	if missing > plannerExact {
		return (p.wanted(plannerExact, b)*missing + plannerExact - 1) / plannerExact
	}
	class := classOf(b)
	t := p.table(b.Loss, b.Burst)
	rounds := min(max(b.Rounds, 0), plannerRounds)
	t.solve(class, missing, rounds)
	return int(t.choice[class][rounds][missing])
}

// solve fills a row up to missing.
func (t *planTable) solve(class, missing, rounds int) {
	known := &t.known[class][rounds]
	if *known >= missing {
		return
	}
	if rounds > 0 {
		t.solve(class, missing, rounds-1) // and that the one before it
	}
	for m := *known + 1; m <= missing; m++ {
		best, choice := math.Inf(1), m
		for s := m; s <= min(plannerTimes*m+plannerSpare, plannerMost); s++ { // to send less than what lacks would waste the round
			v := t.after(class, m, s, rounds)
			if v+float64(s) < best {
				best, choice = v+float64(s), s
			}
			if v < 1 {
				break // more can't save what it costs
			}
		}
		t.value[class][rounds][m], t.choice[class][rounds][m] = best, uint8(choice)
	}
	*known = missing
}

// after is the expected cost of what follows when s symbols are sent for m missing ones.
func (t *planTable) after(class, m, s, rounds int) float64 {
	c := planClassAt(class)
	price := c.price
	if c.reports < plannerReports {
		price *= hastePrice
	}
	if t.channel.inRuns {
		price *= runPrice
	}
	unheard := math.Pow(t.channel.bad, float64(c.reports))
	value := func(m, rounds int) float64 {
		if rounds < 0 {
			return price
		}
		return t.value[class][rounds][m]
	}
	cost := 0.0
	for i, p := range t.channel.row(s)[:m] {
		if rounds == 0 {
			cost += p * price
		} else {
			cost += p * ((1-unheard)*value(m-i, rounds-1) + unheard*value(m-i, rounds-2))
		}
	}
	return cost
}

// Parity implements Policy.
func (p *planner) Parity(b Plan) int { return p.symbols(b.K, &b) - b.K }

// Window implements Policy: what of n packets in a row and the parity over them misses, so that fewer than n arrive, may miss with
// probability windowMiss.
func (p *planner) Window(b Plan) float64 {
	if b.Window == 0 || b.Loss < lossFloor || b.Queued {
		return 0
	}
	share := p.table(b.Loss, b.Burst).share(min(b.Window, plannerExact))
	if b.Narrow {
		share = min(share, narrowShare)
	}
	return share
}

// share is the parity for each of n packets.
func (t *planTable) share(n int) float64 {
	if t.shares[n] > 0 {
		return t.shares[n]
	}
	before := 1.0
	for r := 0; ; r++ {
		miss := t.channel.short(n+r, n)
		if miss <= windowMiss || n+r >= plannerMost {
			part := 1.0 // between r−1 and r, as the logarithm goes
			if miss > 0 && before > miss {
				part = min(1, math.Log(before/windowMiss)/math.Log(before/miss))
			}
			t.shares[n] = min(windowTimes, max(0, float64(r-1)+part)/float64(n))
			return t.shares[n]
		}
		before = miss
	}
}

// Extra implements Policy.
func (p *planner) Extra(missing int, b Plan) int { return p.symbols(missing, &b) - missing }
