package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// webrtcPeer is a pion sender, a forwarder of pion's TrackLocalStaticRTP as small SFUs have it, and a pion receiver without a jitter
// buffer: a frame counts when its last packet is there.
type webrtcPeer struct {
	stock bool // pion's own defaults for NACK
}

const (
	rtpPayload = 1150 // bytes of RTP payload
	nackSize   = 1024 // packets that may be asked for and sent again: seconds of media
	replay     = 1024 // SRTP's replay window: a packet sent again must not look like a replay

	videoType, audioType = 102, 111
	videoClock           = 90000
	audioClock           = 48000
)

func (p webrtcPeer) name() string {
	if p.stock {
		return "webrtc-stock"
	}
	return "webrtc"
}

// interval is the time between requests for everything that is missing.
func (p webrtcPeer) interval(c *config) time.Duration {
	if p.stock {
		return 100 * time.Millisecond
	}
	return c.nack
}

func (p webrtcPeer) settings(c *config) string {
	return fmt.Sprintf("pion 4.2.26, NACK generator every %v and responder on both hops and both kinds, log %d packets, sent again without RTX, "+
		"no TWCC, no pacing, no jitter buffer, payload %d", p.interval(c), nackSize, rtpPayload)
}

var (
	videoCodec = webrtc.RTPCodecParameters{PayloadType: videoType, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: videoClock, RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}},
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}}
	audioCodec = webrtc.RTPCodecParameters{PayloadType: audioType, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: audioClock, Channels: 2, RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}},
	}}
)

// newEnd makes one end. A server is ICE-lite, all of it on one socket; a client has sockets on loopback only.
func (p webrtcPeer) newEnd(b *bed, server net.PacketConn) (*webrtc.PeerConnection, error) {
	media := &webrtc.MediaEngine{}
	if err := errors.Join(media.RegisterCodec(videoCodec, webrtc.RTPCodecTypeVideo), media.RegisterCodec(audioCodec, webrtc.RTPCodecTypeAudio)); err != nil {
		return nil, err
	}
	generator, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(p.interval(b.cfg)), nack.GeneratorSize(nackSize))
	if err != nil {
		return nil, err
	}
	responder, err := nack.NewResponderInterceptor(nack.ResponderSize(nackSize))
	if err != nil {
		return nil, err
	}
	var chain interceptor.Registry
	chain.Add(responder)
	chain.Add(generator)
	if err := webrtc.ConfigureRTCPReports(&chain); err != nil {
		return nil, err
	}
	s := webrtc.SettingEngine{LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}}
	s.SetIncludeLoopbackCandidate(true)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	s.SetSRTPReplayProtectionWindow(replay)
	s.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	if server != nil {
		s.SetLite(true)
		s.SetICEUDPMux(webrtc.NewICEUDPMux(nil, server))
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(&chain), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err == nil {
		b.onClose(func() { _ = pc.Close() })
	}
	return pc, err
}

// negotiate joins a client to a server through a proxy: each knows the other by the proxy's address alone.
func negotiate(client, server *webrtc.PeerConnection, through netip.AddrPort) error {
	offer, err := describe(client, client.CreateOffer)
	if err != nil {
		return err
	}
	if err := server.SetRemoteDescription(rewrite(offer, netip.AddrPort{})); err != nil {
		return err
	}
	answer, err := describe(server, func(*webrtc.OfferOptions) (webrtc.SessionDescription, error) { return server.CreateAnswer(nil) })
	if err != nil {
		return err
	}
	return client.SetRemoteDescription(rewrite(answer, through))
}

// describe makes a description with all candidates in it.
func describe(pc *webrtc.PeerConnection, create func(*webrtc.OfferOptions) (webrtc.SessionDescription, error)) (webrtc.SessionDescription, error) {
	d, err := create(nil)
	if err != nil {
		return d, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return d, err
	}
	<-gathered
	return *pc.LocalDescription(), nil
}

// rewrite replaces the candidates' address, or removes the candidates where there is none.
func rewrite(d webrtc.SessionDescription, addr netip.AddrPort) webrtc.SessionDescription {
	var out []string
	for line := range strings.SplitSeq(d.SDP, "\r\n") {
		if strings.HasPrefix(line, "a=candidate:") {
			if !addr.IsValid() {
				continue
			}
			part := strings.Fields(line)
			part[4], part[5] = addr.Addr().String(), strconv.Itoa(int(addr.Port()))
			line = strings.Join(part, " ")
		}
		out = append(out, line)
	}
	d.SDP = strings.Join(out, "\r\n")
	return d
}

// tracks are one track of each kind.
func tracks() (list [kinds]*webrtc.TrackLocalStaticRTP, err error) {
	var errs [2]error
	list[audio], errs[0] = webrtc.NewTrackLocalStaticRTP(audioCodec.RTPCodecCapability, "audio", "compare")
	list[video], errs[1] = webrtc.NewTrackLocalStaticRTP(videoCodec.RTPCodecCapability, "video", "compare")
	return list, errors.Join(errs[:]...)
}

func addTracks(pc *webrtc.PeerConnection, list [kinds]*webrtc.TrackLocalStaticRTP) error {
	for _, t := range list {
		sender, err := pc.AddTrack(t)
		if err != nil {
			return err
		}
		go func() { // interceptors see RTCP only while somebody reads it
			b := make([]byte, 1500)
			for {
				if _, _, err := sender.Read(b); err != nil {
					return
				}
			}
		}()
	}
	return nil
}

// eachPacket calls f for every packet of a track.
func eachPacket(t *webrtc.TrackRemote, f func(*rtp.Packet)) {
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		f(p)
	}
}

// hop joins a client to the server through hop n. prepare adds what each sends and receives.
func (p webrtcPeer) hop(b *bed, n int, connected chan<- struct{}, prepare func(client, server *webrtc.PeerConnection) error) error {
	socket, err := listenUDP()
	if err != nil {
		return err
	}
	b.onClose(func() { _ = socket.Close() })
	through, err := b.hop(n, socket.LocalAddr())
	if err != nil {
		return err
	}
	server, err := p.newEnd(b, socket)
	if err != nil {
		return err
	}
	client, err := p.newEnd(b, nil)
	if err != nil {
		return err
	}
	for _, pc := range []*webrtc.PeerConnection{server, client} {
		pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
			if s == webrtc.PeerConnectionStateConnected {
				connected <- struct{}{}
			}
		})
	}
	if err := prepare(client, server); err != nil {
		return err
	}
	return negotiate(client, server, through)
}

func (p webrtcPeer) open(ctx context.Context, b *bed) (func(frame) error, error) {
	forwarded, err := tracks()
	if err != nil {
		return nil, err
	}
	sent, err := tracks()
	if err != nil {
		return nil, err
	}
	connected := make(chan struct{}, 16) // more than ever happens
	if err := p.hop(b, 1, connected, func(client, server *webrtc.PeerConnection) error {
		server.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			to := forwarded[kindOf(t)]
			eachPacket(t, func(p *rtp.Packet) { _ = to.WriteRTP(p) }) // fails only for a receiver that has gone
		})
		return addTracks(client, sent)
	}); err != nil {
		return nil, fmt.Errorf("hop 1: %w", err)
	}
	if err := p.hop(b, 2, connected, func(client, server *webrtc.PeerConnection) error {
		client.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			var whole defragmenter
			eachPacket(t, func(p *rtp.Packet) {
				if body := whole.add(p.Payload); body != nil {
					b.got(body, time.Now())
				}
			})
		})
		only := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		_, errAudio := client.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, only)
		_, errVideo := client.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, only)
		return errors.Join(errAudio, errVideo, addTracks(server, forwarded))
	}); err != nil {
		return nil, fmt.Errorf("hop 2: %w", err)
	}
	for range 4 { // two ends of two hops
		select {
		case <-connected:
		case <-ctx.Done():
			return nil, errors.New("not all four ends are connected in time")
		}
	}
	var seq [kinds]uint16
	return func(f frame) error {
		clock := [kinds]float64{audio: audioClock, video: videoClock}[f.kind]
		parts := split(&f, rtpPayload)
		for i, part := range parts {
			p := &rtp.Packet{Payload: part, Header: rtp.Header{
				Version: 2, Marker: i == len(parts)-1, SequenceNumber: seq[f.kind], Timestamp: uint32(f.at.Seconds() * clock),
			}}
			seq[f.kind]++
			if err := sent[f.kind].WriteRTP(p); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func kindOf(t *webrtc.TrackRemote) kind {
	if t.Kind() == webrtc.RTPCodecTypeAudio {
		return audio
	}
	return video
}
