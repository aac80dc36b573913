//go:build ffmpeg

package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"duet/rtmpchunk"
)

// ffmpeg runs ffmpeg.
func ffmpeg(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", append([]string{"-nostdin", "-y", "-v", "error"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, out)
	}
}

// tags reads the audio and video messages of an FLV file.
func tags(t *testing.T, path string) (list []rtmpchunk.Message) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for r := rtmpchunk.NewReader(bytes.NewReader(b)); ; {
		m, err := r.Read()
		if err != nil {
			return list
		}
		if m.Type != rtmpchunk.TypeData && len(m.Payload) > 0 {
			list = append(list, m)
		}
	}
}

// ffmpeg writes headers as short as it can. Audio of constant size and rate, and timestamps beyond 24 bits, are where readers go wrong.
func TestFFmpegTimestamps(t *testing.T) {
	for name, offset := range map[string]string{"one frame in": "0.128", "about to wrap 24 bits": "16777", "beyond 24 bits": "20000"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "in.flv")
			ffmpeg(t, "-f", "lavfi", "-i", "sine=r=8000:d=4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=4", "-c:a", "pcm_alaw", "-c:v", "libx264", "-preset", "ultrafast",
				"-output_ts_offset", offset, "-f", "flv", file)
			h := &hub{done: make(chan struct{}), closed: make(chan struct{})}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- NewRTMP(h.config()).Serve(ctx, l) }()
			ffmpeg(t, "-copyts", "-i", file, "-c", "copy", "-copyts", "-flvflags", "no_metadata", "-f", "flv", "rtmp://"+l.Addr().String()+"/live/a?t=good")
			<-h.closed // all that was sent has been taken
			cancel()
			<-served
			var got []rtmpchunk.Message
			for _, m := range h.got {
				if m.Type != rtmpchunk.TypeData {
					got = append(got, m)
				}
			}
			out := filepath.Join(t.TempDir(), "want.flv")
			ffmpeg(t, "-copyts", "-i", file, "-c", "copy", "-copyts", "-f", "flv", out)
			want := tags(t, out)
			if len(want) < 100 || len(got) != len(want) {
				t.Fatalf("%d messages, want %d", len(got), len(want))
			}
			for i, m := range got {
				if m.Type != want[i].Type || m.Timestamp != want[i].Timestamp || !bytes.Equal(m.Payload, want[i].Payload) {
					t.Fatalf("message %d: type %d at %d, %d bytes; want type %d at %d, %d bytes", i, m.Type, m.Timestamp, len(m.Payload), want[i].Type, want[i].Timestamp, len(want[i].Payload))
				}
			}
		})
	}
}

// What ffmpeg plays over RTMP and HTTP-FLV is what the stream holds, also where timestamps outgrow 24 bits.
func TestFFmpegPlaysIdentical(t *testing.T) {
	for name, offset := range map[string]string{"from the beginning": "0", "about to outgrow 24 bits": "16775", "beyond 24 bits": "20000"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "in.flv")
			ffmpeg(t, "-f", "lavfi", "-i", "sine=d=4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=4", "-c:a", "aac", "-c:v", "libx264", "-preset", "ultrafast",
				"-output_ts_offset", offset, "-f", "flv", file)
			want := tags(t, file)
			h := &hub{messages: want, end: io.EOF}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- NewRTMP(h.config()).Serve(ctx, l) }()
			defer func() { cancel(); <-served }()
			web := httptest.NewServer(NewFLV(h.config()))
			defer web.Close()
			for _, url := range []string{"rtmp://" + l.Addr().String() + "/live/a?t=good", web.URL + "/live/a.flv?t=good"} {
				out := filepath.Join(t.TempDir(), "out.flv")
				ffmpeg(t, "-copyts", "-i", url, "-c", "copy", "-copyts", "-f", "flv", out)
				sameMessages(t, tags(t, out), want)
			}
		})
	}
}
