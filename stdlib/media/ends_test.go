package media

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// flvTag is a tag with the size behind it, which counts the header or not.
func flvTag(kind byte, data int, counted bool) []byte {
	b := append([]byte{kind, byte(data >> 16), byte(data >> 8), byte(data), 0, 0, 0, 0, 0, 0, 0}, make([]byte, data)...)
	size := len(b)
	if !counted {
		size = data
	}
	return binary.BigEndian.AppendUint32(b, uint32(size))
}

// tsPacketOf carries content of one stream: the beginning of a packet of its own, or what follows.
func tsPacketOf(pid uint16, begins bool, content []byte) []byte {
	b := make([]byte, 4, tsPacket)
	b[0], b[3] = tsSync, 0x10
	binary.BigEndian.PutUint16(b[1:], pid)
	if begins {
		b[1] |= 0x40
	}
	if stuffing := tsPacket - 4 - len(content); stuffing > 0 {
		b[3] |= 0x20
		b = append(b, byte(stuffing-1))
		b = append(b, make([]byte, stuffing-1)...)
	}
	return append(b, content...)
}

// tsSound is a packet of sound of n bytes behind its header of six, over as many packets as it needs.
func tsSound(pid uint16, n int) [][]byte {
	rest := append([]byte{0, 0, 1, 0xc0, byte(n >> 8), byte(n)}, make([]byte, n)...)
	var out [][]byte
	for begins := true; len(rest) > 0; begins = false {
		k := min(len(rest), tsPacket-4)
		out = append(out, tsPacketOf(pid, begins, rest[:k]))
		rest = rest[k:]
	}
	return out
}

// TestEndsShort cuts files of the three containers at every byte of their last parts.
func TestEndsShort(t *testing.T) {
	flv := append([]byte("FLV\x01\x05\x00\x00\x00\x09"), 0, 0, 0, 0)
	for i := range 5 {
		flv = append(flv, flvTag([]byte{18, 8, 9, 8, 9}[i], 40+i, true)...)
	}
	uncounted := slices.Concat(flv[:13], flvTag(8, 40, false), flvTag(9, 50, false))
	picture := tsPacketOf(0x100, true, append([]byte{0, 0, 1, 0xe0, 0, 0}, make([]byte, 178)...)) // of a length it does not say
	var packets [][]byte
	for range 6 {
		packets = append(packets, picture)
		packets = append(packets, tsSound(0x101, 400)...)
	}
	packets = append(packets, picture)
	ts := slices.Concat(packets...)
	var stamped, summed []byte
	for _, p := range packets {
		stamped = append(append(stamped, 1, 2, 3, 4), p...)
		summed = append(append(summed, p...), make([]byte, 16)...)
	}
	opus, err := os.ReadFile(filepath.Join("testdata", "click.opus"))
	if err != nil {
		t.Fatal(err)
	}
	pages := oggFilePages(t, opus)
	n := len(pages)
	for _, c := range []struct {
		name, container string
		whole           []byte
		tail            int   // as much is cut off byte by byte
		complete        []int // lengths that look like whole files, besides that of the whole
	}{
		{"FLV", "flv", flv, 80, []int{len(flv) - 59}},
		{"FLV whose sizes leave out the header", "flv", uncounted, 70, []int{len(uncounted) - 65}},
		{"TS", "mpegts", ts, 5 * tsPacket, []int{len(ts) - tsPacket, len(ts) - 4*tsPacket, len(ts) - 5*tsPacket}},
		{"TS with time stamps", "mpegts", stamped, 5 * 192, []int{len(stamped) - 192, len(stamped) - 4*192, len(stamped) - 5*192}},
		{"TS with checksums", "mpegts", summed, 5 * 204, []int{len(summed) - 204, len(summed) - 4*204, len(summed) - 5*204}},
		{"Ogg", "ogg", opus, len(pages[n-1]) + 3, nil},
		{"what ffmpeg tells itself", "avi", make([]byte, 100), 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for cut := 0; cut <= c.tail; cut++ {
				b := c.whole[:len(c.whole)-cut]
				short, err := endsShort(c.container, bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				if want := cut > 0 && !slices.Contains(c.complete, len(b)); short != want {
					t.Errorf("without its last %d bytes: short is %v, want %v", cut, short, want)
				}
			}
			if c.container == "avi" {
				return
			}
			for _, b := range [][]byte{nil, {0}, append(slices.Clone(c.whole), make([]byte, 3000)...)} {
				if short, err := endsShort(c.container, bytes.NewReader(b), int64(len(b))); err != nil || !short && c.container != "ogg" {
					t.Errorf("%d bytes: short is %v, %v", len(b), short, err)
				}
			}
		})
	}
}

func FuzzEndsShort(f *testing.F) {
	for i, container := range [...]string{"flv", "mpegts", "ogg"} {
		f.Add(container, slices.Concat(flvTag(8, 20, true), slices.Concat(tsSound(0x101, 300*i)...)))
	}
	f.Fuzz(func(t *testing.T, container string, b []byte) {
		if _, err := endsShort(container, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err) // nothing fails to read
		}
	})
}
