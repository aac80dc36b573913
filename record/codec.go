package record

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"

	"duet/rtmpchunk"
)

// coding is how a track's samples are coded: what makes its sample entry.
type coding struct {
	codec  rtmpchunk.Codec
	config []byte // of the decoder, as it came; nil for those that need none
	width  int
	height int
}

const (
	videoScale  = 90_000
	opusScale   = 48_000
	defaultRate = 44_100
)

// entryNames are the sample entries of codecs that MP4 has a place for. Where parameter sets of H.264 and HEVC change, the new ones stand in the stream as well,
// before the key frame: players of these entries take them too.
var entryNames = map[rtmpchunk.Codec]string{
	rtmpchunk.CodecAVC: "avc1", rtmpchunk.CodecHEVC: "hvc1", rtmpchunk.CodecAV1: "av01", rtmpchunk.CodecVP8: "vp08", rtmpchunk.CodecVP9: "vp09",
	rtmpchunk.CodecAAC: "mp4a", rtmpchunk.CodecOpus: "Opus",
}

// needsConfig reports whether nothing can be decoded before the decoder's configuration is known.
func needsConfig(c rtmpchunk.Codec) bool {
	switch c {
	case rtmpchunk.CodecAVC, rtmpchunk.CodecHEVC, rtmpchunk.CodecAV1, rtmpchunk.CodecAAC:
		return true
	default:
		return false
	}
}

// box makes a box of a configuration as it is.
func box(name string, b []byte) []byte {
	out := binary.BigEndian.AppendUint32(make([]byte, 0, boxHeader+len(b)), uint32(boxHeader+len(b)))
	return append(append(out, name...), b...)
}

// visual is a VisualSampleEntry (ISO/IEC 14496-12, 12.1.3) with a configuration's box.
func visual(name string, width, height int, config []byte) *mp4.UnknownBox {
	b := make([]byte, 78)
	b[7] = 1 // data reference
	binary.BigEndian.PutUint16(b[24:], uint16(width))
	binary.BigEndian.PutUint16(b[26:], uint16(height))
	binary.BigEndian.PutUint32(b[28:], 72<<16) // dots per inch
	binary.BigEndian.PutUint32(b[32:], 72<<16)
	b[41] = 1 // frame a sample
	binary.BigEndian.PutUint16(b[74:], 24)
	binary.BigEndian.PutUint16(b[76:], 0xffff)
	b = append(b, config...)
	return mp4.CreateUnknownBox(name, uint64(boxHeader+len(b)), b)
}

// sound is an AudioSampleEntry (12.2.3).
func sound(name string, channels uint16, rate int, config []byte) *mp4.UnknownBox {
	b := make([]byte, 28)
	b[7] = 1
	binary.BigEndian.PutUint16(b[16:], channels)
	binary.BigEndian.PutUint16(b[18:], 16)
	binary.BigEndian.PutUint32(b[24:], uint32(min(rate, 0xffff))<<16)
	b = append(b, config...)
	return mp4.CreateUnknownBox(name, uint64(boxHeader+len(b)), b)
}

// entry is the sample entry of a coding, and the timescale of its track.
func (c *coding) entry() (e mp4.Box, scale uint32) {
	name := entryNames[c.codec]
	switch c.codec {
	case rtmpchunk.CodecAAC:
		rate, channels := c.aac()
		var esds bytes.Buffer
		_ = mp4.CreateEsdsBox(c.config).Encode(&esds) // a buffer takes everything
		return sound(name, channels, rate, esds.Bytes()), uint32(rate)
	case rtmpchunk.CodecOpus:
		dops := opusBox(c.config)
		return sound(name, uint16(dops[1]), opusScale, box("dOps", dops)), opusScale
	case rtmpchunk.CodecAVC:
		return visual(name, c.width, c.height, box("avcC", c.config)), videoScale
	case rtmpchunk.CodecHEVC:
		return visual(name, c.width, c.height, box("hvcC", c.config)), videoScale
	case rtmpchunk.CodecAV1:
		return visual(name, c.width, c.height, box("av1C", c.config)), videoScale
	default:
		return visual(name, c.width, c.height, box("vpcC", vpcConfig(c.config))), videoScale
	}
}

// aacRates are the sampling rates that an AudioSpecificConfig has numbers for (ISO/IEC 14496-3, 1.6.3.4).
var aacRates = [...]int{96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350}

// aac reads rate and channels from an AudioSpecificConfig.
func (c *coding) aac() (rate int, channels uint16) {
	rate, channels = defaultRate, 2
	if len(c.config) < 2 {
		return rate, channels
	}
	v := binary.BigEndian.Uint16(c.config)
	if i := int(v >> 7 & 15); i < len(aacRates) {
		rate = aacRates[i]
	}
	if n := v >> 3 & 15; n > 0 {
		channels = n
	}
	return rate, channels
}

// opusBox makes of an OpusHead (RFC 7845, little endian) the dOps box's content (big endian); none: two channels.
func opusBox(head []byte) []byte {
	const magic, size = "OpusHead", 19
	dops := []byte{0, 2, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0} // version, channels, pre-skip, 48,000 Hz, gain, mapping family
	if len(head) < size || string(head[:len(magic)]) != magic {
		return dops
	}
	h := head[len(magic):]
	dops[1] = h[1]
	binary.BigEndian.PutUint16(dops[2:], binary.LittleEndian.Uint16(h[2:]))
	binary.BigEndian.PutUint32(dops[4:], binary.LittleEndian.Uint32(h[4:]))
	binary.BigEndian.PutUint16(dops[8:], binary.LittleEndian.Uint16(h[8:]))
	if dops[10] = h[10]; dops[10] != 0 {
		dops = append(dops, h[11:]...)
	}
	return dops
}

// vpcConfig is the vpcC box's content: as it came if it did, else of 8-bit 4:2:0.
func vpcConfig(config []byte) []byte {
	const size = 12
	if len(config) >= size {
		return config
	}
	return []byte{1, 0, 0, 0, 0, 10, 8<<4 | 1<<1, 2, 2, 2, 0, 0} // version 1; profile 0, level 1; not specified colours
}

// picture finds the size of the picture: from the configuration, a key frame, or what metadata said.
func (c *coding) picture(frame []byte, meta *rtmpchunk.Metadata) {
	defer func() { // parsers of others see what peers send
		if recover() != nil {
			c.width, c.height = 640, 360
		}
	}()
	c.width, c.height = meta.Width, meta.Height
	switch c.codec {
	case rtmpchunk.CodecAVC:
		if r, err := avc.DecodeAVCDecConfRec(c.config); err == nil && len(r.SPSnalus) > 0 {
			if sps, err := avc.ParseSPSNALUnit(r.SPSnalus[0], false); err == nil {
				c.width, c.height = int(sps.Width), int(sps.Height)
			}
		}
	case rtmpchunk.CodecHEVC:
		if r, err := hevc.DecodeHEVCDecConfRec(c.config); err == nil {
			for _, a := range r.NaluArrays {
				if a.NaluType() != hevc.NALU_SPS || len(a.Nalus) == 0 {
					continue
				}
				if sps, err := hevc.ParseSPSNALUnit(a.Nalus[0]); err == nil {
					w, h := sps.ImageSize()
					c.width, c.height = int(w), int(h)
				}
			}
		}
	case rtmpchunk.CodecVP8: // RFC 6386, 9.1
		if len(frame) >= 10 && frame[3] == 0x9d && frame[4] == 0x01 && frame[5] == 0x2a {
			c.width, c.height = int(binary.LittleEndian.Uint16(frame[6:])&0x3fff), int(binary.LittleEndian.Uint16(frame[8:])&0x3fff)
		}
	}
	if c.width <= 0 || c.height <= 0 || c.width > 0xffff || c.height > 0xffff {
		c.width, c.height = 640, 360 // players go by the stream
	}
}

// parameterSets are the NAL units of a configuration, each after its length, to be put in front of a key frame; nil if the codec has none.
func (c *coding) parameterSets() (b []byte) {
	defer func() {
		if recover() != nil {
			b = nil
		}
	}()
	var units [][]byte
	var size int // bytes of a unit's length
	switch c.codec {
	case rtmpchunk.CodecAVC:
		r, err := avc.DecodeAVCDecConfRec(c.config)
		if err != nil {
			return nil
		}
		size = int(c.config[4]&3) + 1
		units = append(append(units, r.SPSnalus...), r.PPSnalus...)
	case rtmpchunk.CodecHEVC:
		r, err := hevc.DecodeHEVCDecConfRec(c.config)
		if err != nil || len(c.config) < 22 {
			return nil
		}
		size = int(c.config[21]&3) + 1
		for _, a := range r.NaluArrays {
			units = append(units, a.Nalus...)
		}
	default:
		return nil
	}
	for _, u := range units {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(u)))
		b = append(append(b, length[4-size:]...), u...)
	}
	return b
}

// nominal is what a frame of audio or video lasts unless the next one says so.
func (c *coding) nominal(frame []byte) time.Duration {
	switch c.codec {
	case rtmpchunk.CodecAAC:
		rate, _ := c.aac()
		return 1024 * time.Second / time.Duration(rate)
	case rtmpchunk.CodecOpus:
		return opusDuration(frame)
	default:
		return 40 * time.Millisecond
	}
}

// opusDuration reads how long a packet lasts (RFC 6716, 3.1).
func opusDuration(b []byte) time.Duration {
	if len(b) == 0 {
		return 20 * time.Millisecond
	}
	var frame int // in units of 2.5 ms
	switch config := b[0] >> 3; {
	case config < 12:
		frame = [4]int{4, 8, 16, 24}[config&3]
	case config < 16:
		frame = [2]int{4, 8}[config&1]
	default:
		frame = [4]int{1, 2, 4, 8}[config&3]
	}
	n := 1
	switch b[0] & 3 {
	case 1, 2:
		n = 2
	case 3:
		if len(b) > 1 {
			n = int(max(b[1]&63, 1))
		}
	}
	return min(time.Duration(n*frame)*2500*time.Microsecond, 120*time.Millisecond)
}
