package record

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"duet/rtmpchunk"
)

// clip is the demo's: 4 s of H.264 and AAC.
func clip(t testing.TB) []rtmpchunk.Message {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "cmd", "duet", "clip.flv"))
	if err != nil {
		t.Fatal(err)
	}
	r := rtmpchunk.NewReader(bytes.NewReader(b))
	var list []rtmpchunk.Message
	for {
		m, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}

func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func testPub() ed25519.PublicKey { return publicOf(testKey()) }

// sender is a party whose media is recorded.
type sender struct {
	rec    *Recording
	stream string
	list   []rtmpchunk.Message
	ppm    int64       // by which its clock is fast
	sent   [2][][]byte // what is to be kept, by kind: bodies of frames, key frames of the picture with their parameter sets in front
	sets   []byte
}

// send gives the recorder what is captured in a span of real time, the clip again and again. lost says which frames do not come.
func (s *sender) send(begin time.Time, from, to time.Duration, lost func(i int) bool) {
	last := time.Duration(s.list[len(s.list)-1].Timestamp+33) * time.Millisecond
	for round := 0; ; round++ {
		for i, m := range s.list {
			own := time.Duration(round)*last + time.Duration(m.Timestamp)*time.Millisecond // by its own clock
			at := own - own*time.Duration(s.ppm)/1_000_000
			if at >= to {
				return
			}
			info := rtmpchunk.Classify(m)
			if at < from || round > 0 && info.Record || lost != nil && !info.Record && lost(i+round*len(s.list)) {
				continue
			}
			m.Timestamp = uint32(own.Milliseconds())
			m.Payload = bytes.Clone(m.Payload)
			body, ok := rtmpchunk.Body(m)
			switch {
			case ok && info.Packet == rtmpchunk.PacketSequenceStart && info.Kind == rtmpchunk.Video:
				s.sets = (&coding{codec: info.Codec, config: body}).parameterSets()
			case ok && info.Packet == rtmpchunk.PacketFrames && info.Kind == rtmpchunk.Video && info.Key:
				s.sent[info.Kind] = append(s.sent[info.Kind], append(bytes.Clone(s.sets), body...))
			case ok && info.Packet == rtmpchunk.PacketFrames:
				s.sent[info.Kind] = append(s.sent[info.Kind], body)
			}
			s.rec.Frame(s.stream, Frame{Message: m, Run: 1, Captured: begin.Add(at)})
		}
	}
}

// call records a call of two parties for as long as it says, in bubble time, and returns the folder.
func call(t testing.TB, dir, name string, cfg Config, lasts time.Duration) (folder string, parties [2]*sender) {
	t.Helper()
	cfg.Dir, cfg.Key = dir, testKey()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Start(Info{Call: name, Kind: "queue", Queue: "main", Policy: "always"})
	if err != nil {
		t.Fatal(err)
	}
	parties = twoParties(t, rec, name)
	begin := time.Now()
	for at := time.Duration(0); at < lasts; at += 200 * time.Millisecond {
		for _, p := range parties {
			p.send(begin, at, min(at+200*time.Millisecond, lasts), nil)
		}
		<-time.After(200 * time.Millisecond)
		if at == 400*time.Millisecond {
			rec.Log(Event{N: 1, Kind: "message", Wall: time.Now(), User: "anna", Text: "good morning, this is the secret text"})
		}
	}
	if err := rec.Close("hangup"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name), parties
}

func twoParties(t testing.TB, rec *Recording, name string) (parties [2]*sender) {
	for i, user := range []string{"anna", "carl"} {
		stream := "live/" + name + "." + user
		rec.AddStream(Stream{Name: stream, User: user, Role: []string{"agent", "caller"}[i]})
		parties[i] = &sender{rec: rec, stream: stream, list: clip(t)}
	}
	return parties
}

func mustVerify(t testing.TB, dir string, o VerifyOptions) *Report {
	t.Helper()
	r, err := Verify(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
