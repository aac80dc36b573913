// Package fec rebuilds lost packets: systematic Reed-Solomon over the packets of one block, which need not be equally long.
//
// Packets travel as they are. Beside them travel parity symbols, each a weighted sum over GF(2⁸) of all packets of the
// block, and any k packets and parity symbols of a block of k give back the rest:
//
//	            ┌ 2 ──────┬ length ───────────────┬ longest − length ┐
//	symbol j    │ length  │ packet j              │ zeros            │   j = 0 … k−1
//	            └─────────┴───────────────────────┴──────────────────┘
//	parity i  =  Σ c(i,j) · symbol j                c(i,j) = 1 / ((255 − i) ⊕ j)
//
// The zeros are never stored or sent with a packet; only a parity symbol is as long as the longest packet and 2 bytes more.
// A parity symbol depends on the packets and its index alone, so a sender makes as many as it turns out to need, one at a
// time, and every new one helps whichever packets are missing. The layout and the coefficients are section 9 of
// docs/wire.md; the vectors in testdata/vectors show them in bytes.
//
// The coefficients form a Cauchy matrix: every square part of it can be inverted (which makes the code MDS), and by a closed
// formula, so that a [Decoder] needs no elimination and no cache of inverted matrices.
//
// The bulk of the work is github.com/klauspost/reedsolomon's LowLevel, which multiplies slices with SIMD instructions and
// neither locks nor starts goroutines.
package fec
