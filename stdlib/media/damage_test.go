package media

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// oggFilePages splits an Ogg file.
func oggFilePages(t testing.TB, b []byte) [][]byte {
	t.Helper()
	var pages [][]byte
	for len(b) > 0 {
		n := 27 + int(b[26])
		for _, l := range b[27:n] {
			n += int(l)
		}
		pages = append(pages, b[:n:n])
		b = b[n:]
	}
	return pages
}

// reseal gives an Ogg page another granule position and its checksum.
func reseal(page []byte, granule int64) []byte {
	p := slices.Clone(page)
	binary.LittleEndian.PutUint64(p[6:], uint64(granule))
	clear(p[22:26])
	binary.LittleEndian.PutUint32(p[22:], oggSum(p))
	return p
}

// checkClicksAround holds the clicks outside the missing stretches against their times; within them there must be silence.
func checkClicksAround(t *testing.T, x []float32, missing []Damage) {
	t.Helper()
	heard := 0
	for _, at := range clickTimes {
		d := time.Duration(at * float64(time.Second))
		got := findClick(x, Rate, at)
		if slices.ContainsFunc(missing, func(s Damage) bool { return d > s.From && d < s.To }) {
			if !math.IsNaN(got) {
				t.Errorf("a click is heard at %.4f s, in a missing stretch", got)
			}
			continue
		}
		if int(at*Rate) >= len(x) {
			continue
		}
		if heard++; !(math.Abs(got-at) <= 0.010) {
			t.Errorf("click at %.4f s is heard at %.4f s", at, got)
		}
	}
	t.Logf("%d clicks on time", heard)
	if heard == 0 {
		t.Error("no click is heard at all")
	}
}

// Ogg Opus with holes, by what makes them: what is there must keep its time, and the hole must have a name.
func TestOpusKeepsTimeOverHoles(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "click.opus"))
	if err != nil {
		t.Fatal(err)
	}
	p := oggFilePages(t, whole) // two of headers, then positions 48000, 96000, 144000 and the last
	if len(p) != 6 {
		t.Fatalf("%d pages", len(p))
	}
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	second := func(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
	flipped := slices.Clone(p[3])
	flipped[100] ^= 1
	const preSkip = 0.0065 // 312 samples
	hole := []Damage{{second(1 - preSkip), second(2 - preSkip), Silenced}}
	cutAtOne := []Damage{{second(1 - preSkip), second(1 - preSkip), CutOff}}
	for _, c := range []struct {
		name    string
		bytes   []byte
		missing []Damage
		says    string // in the warnings
		seconds float64
	}{
		{"whole", whole, nil, "", clickSeconds},
		{"a page is missing", join(p[0], p[1], p[2], p[4], p[5]), hole, "from 00:00:00.993 to 00:00:01.993", clickSeconds},
		{"a bit of a page is changed", join(p[0], p[1], p[2], flipped, p[4], p[5]), hole, "00:00:01.993", clickSeconds},
		{"half of a page is zeros", join(p[0], p[1], p[2], p[3][:500], make([]byte, len(p[3])-500), p[4], p[5]), hole, "00:00:01.993", clickSeconds},
		{"garbage between the pages", join(p[0], p[1], p[2], []byte("OggS\x00 garbage OggS"), p[3], p[4], p[5]), nil, "", clickSeconds},
		{"the first page of sound is missing", join(p[0], p[1], p[3], p[4], p[5]), []Damage{{0, second(1 - preSkip), Silenced}}, "from 00:00:00.000", clickSeconds},
		{"the comments are missing", join(p[0], p[2], p[3], p[4], p[5]), nil, "", clickSeconds},
		{"a jump of the clock", join(p[0], p[1], p[2], p[3], reseal(p[4], 3*48000+4800), reseal(p[5], 153912+4800)),
			[]Damage{{second(2 - preSkip), second(2.1 - preSkip), Silenced}}, "00:00:02.093", clickSeconds + 0.1},
		{"the page before the last is missing", join(p[0], p[1], p[2], p[3], p[5]), []Damage{{second(2 - preSkip), second(3 - preSkip), Silenced}}, "00:00:02.993", clickSeconds},
		{"the last page is missing", join(p[0], p[1], p[2], p[3], p[4]), []Damage{{second(3 - preSkip), second(3 - preSkip), CutOff}}, "cut off at 00:00:02.993", 3 - preSkip},
		{"cut within a page", join(p[0], p[1], p[2], p[3][:700]), cutAtOne, "cut off at 00:00:00.993", 1 - preSkip},
		{"zeros to the end", join(p[0], p[1], p[2], make([]byte, 2<<20)), cutAtOne, "cut off at 00:00:00.993", 1 - preSkip},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.opus")
			if err := os.WriteFile(path, c.bytes, 0o644); err != nil {
				t.Fatal(err)
			}
			x, info := decodeAll(t, path, Options{Decoder: PureGo})
			if c.name == "a jump of the clock" {
				late := clickTimes[3] + 0.1 // after the jump
				if got := findClick(x, Rate, late); !(math.Abs(got-late) <= 0.010) {
					t.Errorf("click at %.4f s is heard at %.4f s", late, got)
				}
			} else {
				checkClicksAround(t, x, c.missing)
			}
			if d := float64(len(x))/Rate - c.seconds; math.Abs(d) > 0.001 {
				t.Errorf("it lasts %.4f s too long", d)
			}
			if len(info.Damage) != len(c.missing) {
				t.Fatalf("missing %v, want %v", info.Damage, c.missing)
			}
			for i, m := range info.Damage {
				if m.Loss != c.missing[i].Loss || (m.From-c.missing[i].From).Abs() > time.Millisecond || (m.To-c.missing[i].To).Abs() > 21*time.Millisecond {
					t.Errorf("missing %v, want %v", m, c.missing[i])
				}
			}
			said := strings.Join(info.Warnings, "; ")
			if !strings.Contains(said, c.says) || c.says == "" && said != "" {
				t.Errorf("the warnings are %q", said)
			}
			t.Log(said)
		})
	}
	t.Run("as ffmpeg hears it", func(t *testing.T) {
		ffmpegOrSkip(t)
		path := filepath.Join(t.TempDir(), "x.opus")
		if err := os.WriteFile(path, join(p[0], p[1], p[2], p[4], p[5]), 0o644); err != nil {
			t.Fatal(err)
		}
		x, info := decodeAll(t, path, Options{Decoder: ByFFmpeg})
		checkClicksAround(t, x, info.Damage)
		if len(info.Damage) != 1 || (info.Damage[0].To-info.Damage[0].From-time.Second).Abs() > 10*time.Millisecond {
			t.Errorf("missing %v", info.Damage)
		}
	})
	t.Run("the clock goes back", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.opus")
		if err := os.WriteFile(path, join(p[0], p[1], p[2], p[3], reseal(p[4], 72000), reseal(p[5], 153912-72000)), 0o644); err != nil {
			t.Fatal(err)
		}
		x, info := decodeAll(t, path, Options{Decoder: PureGo})
		checkClicks(t, x, 0)
		at := second(2 - preSkip)
		if len(info.Damage) != 1 || info.Damage[0].Loss != Closed || (info.Damage[0].From-at).Abs() > time.Millisecond {
			t.Errorf("damage %v", info.Damage)
		}
	})
	t.Run("the clock jumps by years", func(t *testing.T) {
		for _, granule := range []int64{math.MaxInt64, 48000 * 86400 * 365, 48000 * 86400 * 3} {
			path := filepath.Join(t.TempDir(), "x.opus")
			if err := os.WriteFile(path, join(p[0], p[1], p[2], p[3], reseal(p[4], granule)), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, _, err := tryDecode(path, Options{Decoder: PureGo}); err == nil || !strings.Contains(err.Error(), "clock") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// A packet that goes on over pages is lost with any one of them, and only it.
func TestOggPacketsOverPages(t *testing.T) {
	page := func(flags byte, granule int64, sequence uint32, lacing []byte, fill byte) []byte {
		b := append([]byte("OggS\x00"), flags)
		b = binary.LittleEndian.AppendUint64(b, uint64(granule))
		b = binary.LittleEndian.AppendUint32(b, 7)
		b = binary.LittleEndian.AppendUint32(b, sequence)
		b = append(b, 0, 0, 0, 0, byte(len(lacing)))
		b = append(b, lacing...)
		for _, n := range lacing {
			for range n {
				b = append(b, fill)
			}
		}
		return reseal(b, granule)
	}
	pages := [][]byte{
		page(2, 0, 0, []byte{3}, 'a'),
		page(0, 10, 1, []byte{5, 255, 255}, 'b'),
		page(1, -1, 2, []byte{255, 255}, 'c'),
		page(1, 20, 3, []byte{10, 4, 255}, 'd'),
		page(5, 30, 4, []byte{0, 6}, 'e'),
	}
	for _, c := range []struct {
		name string
		drop int // page that is left out
		want []int
	}{
		{"whole", -1, []int{3, 5, 4*255 + 10, 4, 255, 6}},
		{"without the middle", 2, []int{3, 5, 4, 255, 6}},
		{"without the end of one and the beginning of another", 3, []int{3, 5, 6}},
		{"without the beginning", 1, []int{3, 4, 255, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var file []byte
			for i, p := range pages {
				if i != c.drop {
					file = append(file, p...)
				}
			}
			o := oggPackets{pages: newOggPages(&memory{b: file})}
			var got []int
			for {
				p, err := o.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, packet := range p.packets {
					got = append(got, len(packet))
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("packets of %v bytes, want %v", got, c.want)
			}
		})
	}
}

// What ffmpeg reads is told, too, where the file lacks a stretch: Matroska with a cluster overwritten, MP4 without a fragment.
func TestHolesThatFFmpegFinds(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	wav := filepath.Join(dir, "in.wav")
	writeWAV(t, wav, clickTrack(48000), 48000, 2)
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name, file string
		args       []string
		damage     func([]byte) []byte
		late       float64 // samples of encoder delay that the container does not mark, as seconds
	}{
		{"Opus in MKV, a cluster overwritten", "a.mkv", []string{"-c:a", "libopus", "-cluster_time_limit", "400"}, func(b []byte) []byte {
			from := nth(b, "\x1f\x43\xb6\x75", 3)
			clear(b[from:nth(b, "\x1f\x43\xb6\x75", 5)])
			return b
		}, 0},
		{"AAC in MP4, a fragment lost", "a.mp4", []string{"-c:a", "aac", "-movflags", "empty_moov+delay_moov+default_base_moof", "-frag_duration", "400000"}, func(b []byte) []byte {
			from, to := nth(b, "moof", 2)-4, nth(b, "moof", 4)-4
			return slices.Concat(b[:from], b[to:])
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.file)
			ffmpegMakes(t, append(append([]string{"-i", wav}, c.args...), path)...)
			if err := os.WriteFile(path, c.damage(read(path)), 0o644); err != nil {
				t.Fatal(err)
			}
			x, info := decodeAll(t, path, Options{})
			t.Log(info.Damage, info.Warnings)
			if len(info.Damage) != 1 || info.Damage[0].To-info.Damage[0].From < 300*time.Millisecond {
				t.Fatalf("missing %v", info.Damage)
			}
			checkClicksAround(t, x, info.Damage)
		})
	}
}

// nth is where the n-th occurrence of mark begins, from 0.
func nth(b []byte, mark string, n int) int {
	at := -1
	for range n + 1 {
		i := strings.Index(string(b[at+1:]), mark)
		if i < 0 {
			return len(b)
		}
		at += 1 + i
	}
	return at
}

func TestGapLines(t *testing.T) {
	var rest tail
	g := gapLines{rest: &rest}
	for _, part := range []string{"1.25", "0000\n[Eval @ 0x1] 3.500000\n[matroska] broken at 7.000000\n", "-0.010000\n2.000000\nno end"} {
		g.Write([]byte(part))
	}
	h, err := g.end()
	if err != nil || !slices.Equal(h.list, []Damage{{1250 * time.Millisecond, 3500 * time.Millisecond, Silenced}, {0, 2 * time.Second, Silenced}}) {
		t.Errorf("%v, %v", h.list, err)
	}
	if rest.String() != "[matroska] broken at 7.000000; no end" {
		t.Errorf("%q", rest.String())
	}
}

// FuzzOpus changes Ogg Opus behind its checksums. Most of what it finds new is a few thousand bytes long, and to shorten that
// takes all of a run's time unless it is forbidden: -fuzzminimizetime 20x.
func FuzzOpus(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "click.opus"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	p := oggFilePages(f, b)
	f.Add(slices.Concat(p[0], p[2], p[4], p[5]))
	f.Add(slices.Concat(p[0], p[1], p[3], reseal(p[4], 1<<40)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		for rest := b; len(rest) >= 27 && string(rest[:4]) == "OggS"; {
			n := 27 + int(rest[26])
			for _, l := range rest[27:min(n, len(rest))] {
				n += int(l)
			}
			if n > len(rest) {
				break
			}
			copy(rest, reseal(rest[:n], int64(binary.LittleEndian.Uint64(rest[6:]))))
			rest = rest[n:]
		}
		hears(t, b)
	})
}
