package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"duet/record"
	"duet/rtmpchunk"
)

type benchRecord struct {
	calls    int
	bitrate  int
	duration time.Duration
	data     string
	sync     string
	sealed   bool
	json     bool
}

func newBenchRecord(s streams) *cobra.Command {
	var b benchRecord
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Record many calls at once and measure what it costs",
		Long: `Record two-party calls with synthetic media in real time, on disk and synced as a server does, and measure the CPU time, less that of making the frames; beside it, in the
same run, what hashing and writing the same bytes takes alone.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.IntVar(&b.calls, "calls", 100, "two-party calls at once")
	f.IntVar(&b.bitrate, "bitrate", 1_000_000, "of each party's video, bits per second; 48 kbit/s of audio beside it")
	f.DurationVar(&b.duration, "duration", 20*time.Second, "how long")
	f.StringVar(&b.data, "data", "", "directory for the recordings (default: a temporary one)")
	f.StringVar(&b.sync, "sync", string(record.SyncAlways), "always or never")
	f.BoolVar(&b.sealed, "sealed", false, "seal them")
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	return cmd
}

// recordCost is what came of it.
type recordCost struct {
	Calls      int     `json:"calls"`
	Streams    int     `json:"streams"`
	Seconds    float64 `json:"seconds"`
	MiB        float64 `json:"mib"`
	CPU        float64 `json:"cpu_ms_per_stream_s"`
	Feeding    float64 `json:"feeding_ms_per_stream_s"` // making the frames: not in cpu_ms_per_stream_s
	Floor      float64 `json:"floor_ms_per_stream_s"`   // hashing and writing alone
	Verified   int     `json:"verified"`
	ClosingSec float64 `json:"closing_s"` // until the last recording is on disk
}

func (b *benchRecord) run(ctx context.Context, s streams) (err error) {
	dir := b.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "duet-bench-"); err != nil {
			return err
		}
		defer func() { err = joinErrors(err, os.RemoveAll(dir)) }()
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	cfg := record.Config{Dir: filepath.Join(dir, recordDir), Key: key, Sync: record.SyncMode(b.sync)}
	if b.sealed {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		cfg.Recipients = []age.Recipient{id.Recipient()}
	}
	rec, err := record.New(cfg)
	if err != nil {
		return err
	}
	alone, err := b.feeding(ctx)
	if err != nil {
		return err
	}
	began, cpu := time.Now(), cpuTime()
	var wg sync.WaitGroup
	failed := make(chan error, b.calls)
	for i := range b.calls {
		r, err := rec.Start(record.Info{Call: fmt.Sprintf("call%d", i), Policy: "always"})
		if err != nil {
			return err
		}
		wg.Go(func() { failed <- b.feed(ctx, r, b.duration) })
	}
	wg.Wait()
	close(failed)
	for e := range failed {
		err = joinErrors(err, e)
	}
	closing := time.Now()
	if err = joinErrors(err, rec.Close()); err != nil {
		return err
	}
	c := recordCost{Calls: b.calls, Streams: 2 * b.calls, Seconds: time.Since(began).Seconds(), ClosingSec: time.Since(closing).Seconds()}
	used := cpuTime() - cpu
	list, err := record.List(cfg.Dir)
	if err != nil {
		return err
	}
	total := int64(0)
	for i := range list {
		total += list[i].Size
		report, err := record.Verify(list[i].Folder, record.VerifyOptions{Key: publicKey(key)})
		if err != nil {
			return err
		}
		if report.Verdict == record.Genuine {
			c.Verified++
		}
	}
	c.MiB = float64(total) / (1 << 20)
	streamSeconds := float64(c.Streams) * b.duration.Seconds()
	c.Feeding = alone
	c.CPU = ms(used)/streamSeconds - alone
	floor, err := hashAndWrite(dir, total)
	if err != nil {
		return err
	}
	c.Floor = ms(floor) / streamSeconds
	if b.json {
		return json.NewEncoder(s.out).Encode(c)
	}
	fmt.Fprintf(s.out, "calls      %d, %d streams, %.0f s; %.0f MiB\n", c.Calls, c.Streams, c.Seconds, c.MiB)
	fmt.Fprintf(s.out, "CPU        %.3f ms a stream-second\n", c.CPU)
	fmt.Fprintf(s.out, "feeding    %.3f ms, not in it\n", c.Feeding)
	fmt.Fprintf(s.out, "floor      %.3f ms: SHA-256 and writing the same bytes, once\n", c.Floor)
	fmt.Fprintf(s.out, "verified   %d of %d\n", c.Verified, c.Calls)
	if c.Verified != c.Calls {
		return fmt.Errorf("%d recordings do not hold", c.Calls-c.Verified)
	}
	return nil
}

// recordSink takes frames: a recording, or nobody.
type recordSink interface {
	AddStream(s record.Stream)
	Frame(stream string, f record.Frame)
	Err() error
}

type nobody struct{}

func (nobody) AddStream(record.Stream)    {}
func (nobody) Frame(string, record.Frame) {}
func (nobody) Err() error                 { return nil }

// feeding is the CPU time, in ms a stream-second, of making the frames for nobody.
func (b *benchRecord) feeding(ctx context.Context) (float64, error) {
	lasts := max(b.duration/4, time.Second)
	cpu := cpuTime()
	var wg sync.WaitGroup
	failed := make(chan error, b.calls)
	for range b.calls {
		wg.Go(func() { failed <- b.feed(ctx, nobody{}, lasts) })
	}
	wg.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = joinErrors(err, e)
	}
	return ms(cpuTime()-cpu) / (2 * float64(b.calls) * lasts.Seconds()), err
}

// feed gives a recording the media of two parties, in real time.
func (b *benchRecord) feed(ctx context.Context, r recordSink, lasts time.Duration) error {
	const fps, audioRate = 30, 50
	frame := bytes.Repeat([]byte{0x5a}, b.bitrate/8/fps)
	sound := bytes.Repeat([]byte{0xa5}, 48_000/8/audioRate)
	copy(frame, []byte{0x17, 1, 0, 0, 0})
	copy(sound, []byte{0x91, 'O', 'p', 'u', 's'})
	for i := range 2 {
		name := fmt.Sprint(i)
		r.AddStream(record.Stream{Name: name, User: name})
		for m := rtmpchunk.NewReader(bytes.NewReader(clip)); ; { // the decoder's configuration
			c, err := m.Read()
			if err != nil {
				return err
			}
			if info := rtmpchunk.Classify(c); info.Kind == rtmpchunk.Video && info.Packet == rtmpchunk.PacketSequenceStart {
				r.Frame(name, record.Frame{Message: c, Captured: time.Now()})
				break
			}
		}
	}
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	video, audio := 0, 0
	for {
		at := time.Since(began)
		give := func(n *int, rate int, kind uint8, payload []byte) {
			for ; time.Duration(*n)*time.Second/time.Duration(rate) < at; *n++ {
				when := time.Duration(*n) * time.Second / time.Duration(rate)
				for i := range 2 {
					r.Frame(fmt.Sprint(i), record.Frame{Message: rtmpchunk.Message{Type: kind, Timestamp: uint32(when.Milliseconds()), Payload: bytes.Clone(payload)}, Captured: began.Add(when)})
				}
			}
		}
		give(&video, fps, rtmpchunk.TypeVideo, frame)
		give(&audio, audioRate, rtmpchunk.TypeAudio, sound)
		if at >= lasts {
			return r.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// hashAndWrite is the CPU time that the bytes take at least.
func hashAndWrite(dir string, total int64) (used time.Duration, err error) {
	f, err := os.CreateTemp(dir, "floor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = joinErrors(err, joinErrors(f.Close(), os.Remove(f.Name()))) }()
	piece := bytes.Repeat([]byte{0x5a}, 256<<10)
	cpu := cpuTime()
	for ; total > 0; total -= int64(len(piece)) {
		_ = sha256.Sum256(piece)
		if _, err := f.Write(piece); err != nil {
			return 0, err
		}
	}
	return cpuTime() - cpu, nil
}
