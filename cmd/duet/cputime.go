package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc/*/stat: USER_HZ is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is what this process has used: as the kernel counts it where it tells, else as Go's runtime does, which takes waiting for a disk for work.
func cpuTime() time.Duration {
	if b, err := os.ReadFile("/proc/self/stat"); err == nil {
		const utime, stime = 11, 12 // after the name, which ends with the last parenthesis: proc(5)
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
		if f := strings.Fields(rest); len(f) > stime {
			user, err1 := strconv.ParseInt(f[utime], 10, 64)
			system, err2 := strconv.ParseInt(f[stime], 10, 64)
			if err1 == nil && err2 == nil {
				return time.Duration(user+system) * clockTick
			}
		}
	}
	runtime.GC()
	samples := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(samples)
	return time.Duration((samples[0].Value.Float64() - samples[1].Value.Float64()) * float64(time.Second))
}
