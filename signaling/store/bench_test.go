package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const benchEntry = 512 // bytes

// BenchmarkFsync is the floor of BenchmarkAppend with syncs: what the disk takes for as much.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	data := make([]byte, benchEntry)
	for b.Loop() {
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, sync := range []time.Duration{0, 2 * time.Minute} {
		b.Run(fmt.Sprint("sync=", sync), func(b *testing.B) {
			s := mustOpen(b, Config{Dir: b.TempDir(), Sync: sync})
			data := make([]byte, benchEntry)
			ctx := b.Context()
			last := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if last, err = s.Append(ctx, last, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const n = 10_000
	s := mustOpen(b, Config{Dir: b.TempDir(), Sync: time.Minute})
	data := make([]byte, benchEntry)
	for i := range uint64(n) {
		if _, err := s.Append(b.Context(), i, data); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.Read(b.Context(), 1, n, func(Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkOpen is of a log of 10,000 entries.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := mustOpen(b, Config{Dir: dir, Sync: time.Minute})
	for i := range uint64(10_000) {
		if _, err := s.Append(b.Context(), i, make([]byte, benchEntry)); err != nil {
			b.Fatal(err)
		}
	}
	closeStore(b, s)
	for b.Loop() {
		s, err := Open(b.Context(), Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		closeStore(b, s)
		b.StartTimer()
	}
}
