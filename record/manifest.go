package record

import (
	"encoding/json"
	"slices"
)

// Manifest is a recording at a glance. It is made of the chain alone, so that it can be made again.
type Manifest struct {
	Recording   string     `json:"recording"`
	Call        string     `json:"call"`
	Part        int        `json:"part"`
	Kind        string     `json:"kind,omitempty"`
	Queue       string     `json:"queue,omitempty"`
	Policy      string     `json:"policy,omitempty"`
	Consent     string     `json:"consent,omitempty"`
	Began       string     `json:"began"`
	Ended       string     `json:"ended"`
	Milli       int64      `json:"ms"` // how far the media goes
	Reason      string     `json:"reason"`
	Interrupted bool       `json:"interrupted,omitempty"`
	Dropped     int64      `json:"dropped,omitempty"`
	Retain      string     `json:"retain,omitempty"`
	Server      string     `json:"server,omitempty"`
	Key         string     `json:"key"`
	Sealed      []string   `json:"sealed,omitempty"`
	Parties     []Note     `json:"parties"`
	Tracks      []Note     `json:"tracks"`
	Notes       []Note     `json:"notes,omitempty"`
	Files       []FileInfo `json:"files"`
	Timestamps  []string   `json:"timestamps"` // RFC 3161 tokens over the end's hash; none are made yet
}

// FileInfo is one file of a recording.
type FileInfo struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Pieces int    `json:"pieces"`
}

// The texts of notes.
const (
	noteParty     = "party"
	noteTrack     = "track"
	noteConsent   = "consent"
	noteClockStep = "clock-step"
)

func manifestOf(b *Begin, links []*Link) *Manifest {
	m := &Manifest{
		Recording: b.Recording, Call: b.Call, Part: b.Part, Kind: b.Kind, Queue: b.Queue, Policy: b.Policy, Consent: b.Consent, Began: links[0].Wall,
		Milli: lengthOf(links).Milliseconds(), Server: b.Server, Key: b.Key, Sealed: b.Sealed, Parties: []Note{}, Tracks: []Note{}, Timestamps: []string{},
	}
	if !b.Retain.IsZero() {
		m.Retain = formatWall(b.Retain)
	}
	for _, l := range links {
		if l.Kind == KindNote {
			var n Note
			if json.Unmarshal(l.Data, &n) != nil {
				continue
			}
			switch n.Text {
			case noteParty:
				m.Parties = append(m.Parties, n)
			case noteTrack:
				m.Tracks = append(m.Tracks, n)
			case noteConsent:
				m.Consent = n.Detail
			default:
				m.Notes = append(m.Notes, n)
			}
		}
		if l.File == "" {
			continue
		}
		i := slices.IndexFunc(m.Files, func(f FileInfo) bool { return f.Name == l.File })
		if i < 0 {
			m.Files = append(m.Files, FileInfo{Name: l.File})
			i = len(m.Files) - 1
		}
		m.Files[i].Size = max(m.Files[i].Size, l.Offset+l.Size)
		m.Files[i].Pieces++
	}
	return m
}
