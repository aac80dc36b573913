package transport

import (
	"errors"
	"time"

	"duet/crypto"
	"duet/transport/wire"
)

// HandleDatagram takes one datagram from the network. It decrypts in place: b's content is undefined afterwards, b itself is
// not kept.
func (c *Conn) HandleDatagram(now time.Time, from Path, b []byte) {
	now = c.advance(now)
	if c.state == stateClosed {
		return
	}
	c.stats.DatagramsReceived++
	c.stats.BytesReceived += uint64(len(b))
	switch wire.KindOf(b) {
	case wire.KindData:
		c.receiveData(now, from, b)
	case wire.KindAccept:
		c.receiveAccept(now, b)
	case wire.KindRetry:
		c.receiveRetry(now, b)
	case wire.KindReset:
		c.receiveReset(b)
	default:
		c.drop(DropMalformed)
	}
}

// receiveData opens a data packet and handles its frames. Nothing changes unless it opens.
func (c *Conn) receiveData(now time.Time, from Path, b []byte) {
	hdr, err := wire.ParseDataHeader(b)
	if err != nil || len(b) > wire.MaxDatagram {
		c.drop(DropMalformed)
		return
	}
	if c.opener == nil || hdr.Session != c.localID {
		c.drop(DropSession)
		return
	}
	highest, opened := c.opener.Highest()
	pn, plain, err := c.opener.Open(b[:wire.DataHeaderSize], b[wire.DataHeaderSize:], hdr.Phase, hdr.PacketNumber)
	if err != nil {
		if errors.Is(err, crypto.ErrReplay) {
			c.drop(DropReplay)
		} else {
			c.drop(DropOpen)
		}
		return
	}
	c.lastHeard = now
	if c.state == stateHalfOpen {
		c.confirm(now)
	}
	if !c.client {
		c.path.heard(from, len(b), !opened || pn > highest, c)
	}
	eliciting, kept := c.receiveFrames(now, from, plain)
	if c.state == stateOpen && kept {
		c.feedback.received(now, c, pn, eliciting)
	}
}

// confirm makes a half-open session real: its client has shown that it has the keys, and that it hears where the ACCEPT went. Any
// other address has shown nothing yet and is validated like every new path.
func (c *Conn) confirm(now time.Time) {
	c.idleAfter = c.confirmIdle
	c.started(now)
	c.events.push(Event{Kind: EventConfirmed})
}

// receiveFrames handles the frames of one packet. It reports whether they ask for feedback, and whether all was kept: a packet
// whose control bytes found no room is not reported as received, so that they come again.
func (c *Conn) receiveFrames(now time.Time, from Path, b []byte) (eliciting, kept bool) {
	kept = true
	if len(b) == 0 {
		c.drop(DropFrame)
		return false, kept
	}
	var f wire.Frame
	for len(b) > 0 {
		var err error
		if b, err = wire.NextFrame(b, &f); err != nil {
			c.drop(DropFrame)
			return eliciting, kept
		}
		eliciting = eliciting || f.Type.AckEliciting()
		if c.state != stateOpen && f.Type != wire.FrameClose {
			continue // closing: only the peer's CLOSE matters
		}
		switch f.Type {
		case wire.FramePing:
			c.pong = pongState{owed: true, echo: f.Clock[0], received: c.clockAt(now)}
		case wire.FramePong:
			if rtt, ok := c.clock.pong(f.Clock[0], f.Clock[1], f.Clock[2], c.clockAt(now)); ok {
				c.rtt.sample(now, rtt)
			}
		case wire.FrameFeedback:
			c.receiveFeedback(now, &f.Feedback)
		case wire.FrameControl:
			kept = c.receiveControl(now, f.Offset, f.Data) && kept
		case wire.FramePathChallenge:
			copy(c.path.response[:], f.Data)
			c.path.respond, c.path.answerTo = true, from
		case wire.FramePathResponse:
			c.path.answered(now, from, f.Data, c)
		case wire.FrameClose:
			c.receiveClose(&f)
			return eliciting, kept
		case wire.FrameMedia:
			c.receiveMedia(now, f.Data)
		case wire.FrameRepair:
			c.receiveRepair(now, &f)
		case wire.FramePadding:
		}
	}
	return eliciting, kept
}

// receiveClose ends the session; the peer gets one CLOSE in answer, so that it can stop repeating its own.
func (c *Conn) receiveClose(f *wire.Frame) {
	if c.state == stateClosing {
		c.closed(c.closing.code, c.closing.reason, CauseLocal)
		return
	}
	code, reason := f.Code, string(f.Data)
	c.releaseMedia()
	c.state = stateClosed
	c.timer = timers{}
	c.closing = closeState{code: wire.CloseOK, answer: true}
	c.events.push(Event{Kind: EventClosed, Code: code, Reason: reason, Cause: CauseRemote})
}
