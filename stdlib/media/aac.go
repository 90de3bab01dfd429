package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// adtsHeader is what the first bytes of an AAC frame in ADTS say (ISO/IEC 14496-3, 1.A.2).
type adtsHeader struct {
	kind    uint16 // profile, sample rate and channels: the same in all frames
	rate    int    // Hz
	bytes   int    // of the frame, header included
	samples int64  // at that rate
}

func parseADTS(b []byte) (adtsHeader, bool) {
	if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return adtsHeader{}, false
	}
	rates := [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	code := int(b[2] >> 2 & 15)
	h := adtsHeader{
		kind:    uint16(b[2]&0xfd)<<8 | uint16(b[3]&0xc0),
		bytes:   int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5),
		samples: 1024 * (int64(b[6]&3) + 1),
	}
	if code >= len(rates) || h.bytes < 8 {
		return adtsHeader{}, false
	}
	h.rate = rates[code]
	return h, true
}

// adtsGap is a place in an AAC file where frames are lost. ADTS has no clock: how many is guessed from their bytes.
type adtsGap struct{ at, frames int64 } // at counts the frames before it, without those that were lost

// adtsLayout is what of an AAC file is whole.
type adtsLayout struct {
	first adtsHeader
	whole []stretch
	gaps  []adtsGap
	cut   bool // the file ends within a frame
}

// readADTSLayout walks from frame to frame. It passes over what is none; ID3 tags, as in segments of live streams, are no damage.
func readADTSLayout(in io.ReaderAt, size int64) (adtsLayout, error) {
	var (
		l             adtsLayout
		r             = bufio.NewReaderSize(io.NewSectionReader(in, 0, size), 1<<16)
		at, begin     int64 // begin is that of the current stretch of frames
		skipped       int64 // bytes since the last frame
		frames, bytes int64
		lost          []int64 // bytes in each gap
	)
	end := func() {
		if at > begin {
			l.whole = append(l.whole, stretch{begin, at})
		}
	}
	for at < size {
		h, tag, err := adtsFrame(r, size-at, l.first, skipped > 0)
		if err != nil {
			return l, err
		}
		var pass int64
		switch {
		case tag > 0:
			end()
			pass, begin = tag, at+tag
		case h.bytes > 0:
			if frames == 0 {
				l.first = h
			} else if skipped > 0 {
				l.gaps = append(l.gaps, adtsGap{at: frames})
				if lost = append(lost, skipped); len(lost) > maxFrameHoles {
					return l, fmt.Errorf("the AAC file is damaged in more than %d places", maxFrameHoles)
				}
			}
			if skipped > 0 {
				begin, skipped = at, 0
			}
			pass = int64(h.bytes)
			frames, bytes = frames+1, bytes+pass
		default:
			if skipped == 0 {
				end()
			}
			b, err := r.Peek(max(1, r.Buffered()))
			if err != nil {
				return l, err
			}
			pass = int64(bytesToSync(b))
			skipped += pass
		}
		n, err := io.CopyN(io.Discard, r, pass)
		if at += n; err != nil {
			return l, err
		}
	}
	if l.cut = skipped > 0; !l.cut {
		end()
	}
	if frames == 0 {
		return l, errors.New("the AAC file holds no whole frame of sound")
	}
	for i := range l.gaps {
		l.gaps[i].frames = max(1, int64(math.Round(float64(lost[i])*float64(frames)/float64(bytes))))
	}
	return l, nil
}

// adtsFrame reads the header of a frame that another one follows, or the end; or else the length of the tag that begins here.
func adtsFrame(r *bufio.Reader, left int64, first adtsHeader, searching bool) (h adtsHeader, tag int64, err error) {
	b, err := r.Peek(int(min(left, 10)))
	if err != nil {
		return h, 0, err
	}
	if n, is := id3Size(b); is && !searching && n <= left {
		return h, n, nil
	}
	h, ok := parseADTS(b)
	if !ok || first.bytes > 0 && h.kind != first.kind || int64(h.bytes) > left {
		return adtsHeader{}, 0, nil
	}
	if b, err = r.Peek(int(min(left, int64(h.bytes)+10))); err != nil {
		return adtsHeader{}, 0, err
	}
	b = b[h.bytes:]
	next, ok := parseADTS(b)
	_, tagged := id3Size(b)
	if len(b) == 0 || tagged || ok && next.kind == h.kind || len(b) < 7 && !searching {
		return h, 0, nil
	}
	return adtsHeader{}, 0, nil
}

// bytesToSync is how many bytes may be passed over, one at least, before a frame may begin.
func bytesToSync(b []byte) int {
	if i := bytes.IndexByte(b[1:], 0xff); i >= 0 {
		return i + 1
	}
	return len(b)
}
