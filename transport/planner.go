package transport

import "math"

// planner is the default policy. For every block it finds the cheapest number of symbols to send now, given how many the receiver
// lacks, how many more report rounds fit before the deadline, and what a miss costs: a small dynamic program,
//
//	V(m, r) = min over s of  s + Σ P(i of s arrive) · V(m−i, r−1),    V(0, ·) = 0,    V(m > 0, −1) = price,
//
// with symbols that are lost independently. Costs are in symbols. What was worked out is kept by loss, so a network that stays as
// it is costs a look into a table for each block.
type planner struct {
	tables [2][plannerLosses]*lossTable // by whether a later hop can still make a delay good
}

const (
	plannerStep   = 0.01 // of loss; rounded up, because too much costs less than too little
	plannerLosses = 51
	plannerRounds = 4  // more rounds than these change nothing
	plannerExact  = 48 // missing symbols up to which the program is solved; beyond, the share is what counts

	// priceOfMiss is what a block that does not arrive in time costs: with it, misses at a hop stay near one in a thousand.
	priceOfMiss = 300.0
	// priceOfDelay is what it costs when a block arrives too late for the next hop's ordinary repair: that hop then spends some parity
	// more, and only rarely is it a miss.
	priceOfDelay = 15.0
)

// lossTable holds the decisions for one loss rate and price.
type lossTable struct {
	loss   float64
	price  float64
	known  [plannerRounds + 1]int // how many missing symbols each row is solved up to
	value  [plannerRounds + 1][plannerExact + 1]float64
	choice [plannerRounds + 1][plannerExact + 1]uint8
}

// symbols is how many to send now for missing ones.
func (p *planner) symbols(missing int, b *Plan) int {
	i := min(int(math.Ceil(b.Loss*lossSafety/plannerStep)), plannerLosses-1)
	if missing <= 0 || b.Loss < lossFloor || b.Queued {
		return missing
	}
	if missing > plannerExact {
		return (p.symbols(plannerExact, b)*missing + plannerExact - 1) / plannerExact
	}
	class, price := 0, priceOfMiss
	if b.Later {
		class, price = 1, priceOfDelay
	}
	t := p.tables[class][i]
	if t == nil {
		t = &lossTable{loss: float64(i) * plannerStep, price: price}
		p.tables[class][i] = t
	}
	rounds := min(max(b.Rounds, 0), plannerRounds)
	t.solve(missing, rounds)
	return int(t.choice[rounds][missing])
}

// solve fills a row up to missing.
func (t *lossTable) solve(missing, rounds int) {
	if t.known[rounds] >= missing {
		return
	}
	if rounds > 0 {
		t.solve(missing, rounds-1)
	}
	for m := t.known[rounds] + 1; m <= missing; m++ {
		best, choice := math.Inf(1), m
		for s := m; s <= 3*m+12; s++ { // to send less than what lacks would waste the round
			if v := float64(s) + t.after(m, s, rounds); v < best {
				best, choice = v, s
			}
		}
		t.value[rounds][m], t.choice[rounds][m] = best, uint8(choice)
	}
	t.known[rounds] = missing
}

// after is the expected cost of what follows when s symbols are sent for m missing ones: the sum over i, the number that arrives.
func (t *lossTable) after(m, s, rounds int) float64 {
	p := math.Pow(t.loss, float64(s)) // that i = 0 arrive
	cost := 0.0
	for i := range m {
		v := t.price
		if rounds > 0 {
			v = t.value[rounds-1][m-i]
		}
		cost += p * v
		p *= float64(s-i) / float64(i+1) * (1 - t.loss) / t.loss
	}
	return cost
}

// Parity implements Policy.
func (p *planner) Parity(b Plan) int { return p.symbols(b.K, &b) - b.K }

// Extra implements Policy.
func (p *planner) Extra(missing int, b Plan) int { return p.symbols(missing, &b) - missing }
