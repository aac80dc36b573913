//go:build js

package main

import (
	"crypto/rand"
	"syscall/js"
	"time"

	"duet/crypto"
	"duet/web/endpoint"
)

const (
	// firstBuffer holds what one step takes or gives, nearly always; a large key frame makes it grow.
	firstBuffer = 256 << 10
	bitsPerKbit = 1000
)

func main() {
	js.Global().Set("duetOpen", js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) != 1 {
			return "duetOpen takes a configuration"
		}
		return open(args[0])
	}))
	select {}
}

// open makes an endpoint of {role, url, minBitrate, startBitrate, maxBitrate (kbit/s), budget, reconnect, wait (ms)}.
func open(cfg js.Value) any {
	u, err := crypto.ParseURL(cfg.Get("url").String())
	if err != nil {
		return err.Error()
	}
	c := endpoint.Config{
		URL: u, Rand: rand.Reader,
		Reconnect:    duration(cfg.Get("reconnect")),
		Budget:       duration(cfg.Get("budget")),
		Wait:         duration(cfg.Get("wait")),
		MinBitrate:   bitrate(cfg.Get("minBitrate")),
		StartBitrate: bitrate(cfg.Get("startBitrate")),
		MaxBitrate:   bitrate(cfg.Get("maxBitrate")),
	}
	openAs := endpoint.NewPlayer
	if cfg.Get("role").String() == "push" {
		openAs = endpoint.NewPusher
	}
	e, err := openAs(c)
	if err != nil {
		return err.Error()
	}
	return expose(e)
}

// expose gives an endpoint's methods to JavaScript. It is never let go of: a worker has one, and ends with it.
func expose(e *endpoint.Endpoint) js.Value {
	array := js.Global().Get("Uint8Array")
	o := js.Global().Get("Object").New()
	size := firstBuffer
	o.Set("out", array.New(size))
	in, out := make([]byte, firstBuffer), make([]byte, 0, firstBuffer)
	o.Set("step", js.FuncOf(func(_ js.Value, args []js.Value) any {
		n := args[2].Int()
		if n > len(in) {
			in = make([]byte, 2*n)
		}
		if n > 0 {
			js.CopyBytesToGo(in[:n], args[1])
		}
		out = e.Step(args[0].Float(), in[:n], out[:0])
		if len(out) > size {
			size = 2 * len(out)
			o.Set("out", array.New(size))
		}
		if len(out) > 0 {
			js.CopyBytesToJS(o.Get("out"), out)
		}
		return len(out)
	}))
	o.Set("deadline", js.FuncOf(func(_ js.Value, args []js.Value) any { return e.Deadline(args[0].Float()) }))
	return o
}

func duration(v js.Value) time.Duration {
	if v.Type() != js.TypeNumber {
		return 0
	}
	return time.Duration(v.Float() * float64(time.Millisecond))
}

func bitrate(v js.Value) int64 {
	if v.Type() != js.TypeNumber {
		return 0
	}
	return int64(v.Float() * bitsPerKbit)
}
