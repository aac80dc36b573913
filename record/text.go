package record

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// cue is something that was said.
type cue struct {
	at   time.Duration
	user string
	text string
}

const (
	cueTime = 5 * time.Second
	cueText = 400 // bytes that are shown
)

// subtitles writes what was said as WebVTT.
func subtitles(list []cue, names map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString("WEBVTT\n")
	clean := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "", "\n\n", "\n", "-->", "→")
	for _, c := range list {
		name := names[c.user]
		if name == "" {
			name = c.user
		}
		text := c.text
		if len(text) > cueText {
			text = strings.ToValidUTF8(text[:cueText], "") + "…"
		}
		fmt.Fprintf(&b, "\n%s --> %s\n<v %s>%s\n", clock(c.at), clock(c.at+cueTime), clean.Replace(name), strings.TrimSpace(clean.Replace(text)))
	}
	return b.Bytes()
}

// names are what users are called.
func (i *Info) names(sources map[string]*source) map[string]string {
	m := make(map[string]string)
	for _, s := range sources {
		if s.Title != "" {
			m[s.User] = s.Title
		}
	}
	return m
}
