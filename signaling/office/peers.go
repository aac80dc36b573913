package office

import (
	"encoding/json"
	"sync"
	"time"
)

// Servers that share a log tell each other that they live. One that is silent for peerSilence is taken for gone, with its sockets.
const (
	peerEvery   = 500 * time.Millisecond
	peerSilence = 2500 * time.Millisecond
	peerSubject = "alive"
)

type peers struct {
	mu    sync.Mutex
	heard map[string]time.Time // by node and life; at first, when we began to listen
}

type aliveMessage struct{ Node, Life string }

// meet listens to the others and tells them of us, until stop.
func (o *Office) meet() (stop func(), err error) {
	unsubscribe, err := o.cfg.Store.Subscribe(peerSubject, func(_ string, b []byte, _ func([]byte)) {
		var m aliveMessage
		if json.Unmarshal(b, &m) == nil && m.Node != "" {
			o.peers.note(m.Node, m.Life)
		}
	})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(peerEvery)
		defer tick.Stop()
		b, _ := json.Marshal(aliveMessage{o.cfg.Node, o.life}) // strings always can be
		for {
			_ = o.cfg.Store.Publish(peerSubject, b) // best effort: several of them count
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		unsubscribe()
	}, nil
}

func (p *peers) note(node, life string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[node+"/"+life] = time.Now()
}

// silent lists the servers, but this one, that have not been heard of for too long.
func (p *peers) silent(lives map[string]string, self string) (gone []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for node, life := range lives {
		if node == self {
			continue
		}
		key := node + "/" + life
		at, ok := p.heard[key]
		if !ok {
			p.heard[key] = now
		} else if now.Sub(at) > peerSilence {
			gone = append(gone, node)
			delete(p.heard, key)
		}
	}
	return gone
}
